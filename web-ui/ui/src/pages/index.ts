/** Every page: its address, where it stands, and how it is loaded. What is not here is linked nowhere. */

import type { Component } from 'svelte'

import type { Role } from '../api/types'
import type { IconName } from '../components/Icon.svelte'
import { FURTHER } from '../lib/document'
import Dashboard from './Dashboard.svelte'

export interface Page {
  id: string
  icon: IconName
  group: 'monitor' | 'policy' | 'network' | 'manage'
  load: () => Promise<{ default: Component }>
  /** Who may see it. */
  role?: Role
  /** Leaves for later what is not seen first, so that it need not wait itself until what is around it is seen. */
  staged?: true
}

/** Of pages that no page was written for; another section's is `filter`. */
const ICONS: Record<string, IconName> = { 'url-lists': 'link', services: 'language', inspection: 'search', signatures: 'bolt' }

export const PAGES: readonly Page[] = [
  // Most often the first, so it comes with what is loaded first.
  { id: 'dashboard', icon: 'dashboard', group: 'monitor', load: () => Promise.resolve({ default: Dashboard }), staged: true },
  { id: 'topology', icon: 'topology', group: 'monitor', load: () => import('./Topology.svelte') },
  { id: 'sessions', icon: 'sessions', group: 'monitor', load: () => import('./Sessions.svelte') },
  { id: 'events', icon: 'events', group: 'monitor', load: () => import('./Events.svelte') },
  { id: 'policies', icon: 'policies', group: 'policy', load: () => import('./Policies.svelte') },
  { id: 'nat', icon: 'nat', group: 'policy', load: () => import('./Nat.svelte') },
  { id: 'objects', icon: 'objects', group: 'policy', load: () => import('./Objects.svelte') },
  // What the schema has and no page was written for.
  ...FURTHER.map((id): Page => ({ id, icon: ICONS[id] ?? 'filter', group: 'policy', load: () => import('./Further.svelte') })),
  { id: 'explain', icon: 'explain', group: 'policy', load: () => import('./Explain.svelte') },
  { id: 'interfaces', icon: 'interfaces', group: 'network', load: () => import('./Interfaces.svelte') },
  { id: 'zones', icon: 'applications', group: 'network', load: () => import('./Zones.svelte') },
  { id: 'routes', icon: 'routes', group: 'network', load: () => import('./Routes.svelte') },
  { id: 'configuration', icon: 'yaml', group: 'manage', load: () => import('./Configuration.svelte') },
  { id: 'history', icon: 'history', group: 'manage', load: () => import('./History.svelte') },
  { id: 'users', icon: 'users', group: 'manage', load: () => import('./Users.svelte') },
  { id: 'tokens', icon: 'lock', group: 'manage', load: () => import('./Tokens.svelte') },
  { id: 'system', icon: 'system', group: 'manage', load: () => import('./System.svelte') }
]

export const GROUPS = ['monitor', 'policy', 'network', 'manage'] as const

const loaded = new Map<string, Component>([['dashboard', Dashboard]])

/** The page itself where it is there: an import takes a turn, and a picture between, also of what was imported before. */
export const present = (id: string) => loaded.get(id)

export async function loadPage(page: Page): Promise<Component> {
  const { default: component } = await page.load()
  loaded.set(page.id, component)
  return component
}
