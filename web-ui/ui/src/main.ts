/** The web application's beginning: the language first, then everything else. */

import { mount } from 'svelte'

import './app.css'
import { first } from './api/rates.svelte'
import App from './App.svelte'
import { choose, preferred } from './i18n/index.svelte'
import { follow, route } from './lib/router.svelte'
import './lib/theme.svelte'
import { PAGES } from './pages'

follow()
// Both are on their way while the appliance says who asks; a failure shows where the page would.
void first()
PAGES.find(({ id }) => id === route.page)?.load().catch(() => undefined)
await choose(preferred())
const target = document.getElementById('app')
target?.replaceChildren()
if (target) mount(App, { target })
