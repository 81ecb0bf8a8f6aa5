/** What the appliance says in its own words, in Japanese. */

import type { Sentences } from '../said'
import { configuration } from './configuration'

export const sentences: Sentences = { ...configuration }
