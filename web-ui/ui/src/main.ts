/** The web application's beginning: the language first, then everything else. */

import { mount } from 'svelte'

import './app.css'
import App from './App.svelte'
import { choose, preferred } from './i18n/index.svelte'
import { follow } from './lib/router.svelte'
import './lib/theme.svelte'

follow()
await choose(preferred())
const target = document.getElementById('app')
if (target) mount(App, { target })
