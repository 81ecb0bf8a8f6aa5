/** What the appliance says in its own words, in Japanese. */

import type { Sentences } from '../said'
import { api } from './api'
import { assembled } from './assembled'
import { configuration } from './configuration'

export const sentences: Sentences = { ...api, ...configuration, ...assembled }
