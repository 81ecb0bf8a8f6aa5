/** Every page: its address, where it stands, and how it is loaded. What is not here is linked nowhere. */

import type { Component } from 'svelte'

import type { Role } from '../api/types'
import type { IconName } from '../components/Icon.svelte'
import type { Key } from '../i18n/index.svelte'

export interface Page {
  id: string
  title: Key
  icon: IconName
  group: 'monitor' | 'policy' | 'network' | 'manage'
  load: () => Promise<{ default: Component }>
  /** Who may see it. */
  role?: Role
}

export const PAGES: readonly Page[] = [
  { id: 'dashboard', title: 'page.dashboard', icon: 'dashboard', group: 'monitor', load: () => import('./Dashboard.svelte') },
  { id: 'topology', title: 'page.topology', icon: 'topology', group: 'monitor', load: () => import('./Topology.svelte') },
  { id: 'sessions', title: 'page.sessions', icon: 'sessions', group: 'monitor', load: () => import('./Sessions.svelte') },
  { id: 'events', title: 'page.events', icon: 'events', group: 'monitor', load: () => import('./Events.svelte') },
  { id: 'policies', title: 'page.policies', icon: 'policies', group: 'policy', load: () => import('./Policies.svelte') },
  { id: 'nat', title: 'page.nat', icon: 'nat', group: 'policy', load: () => import('./Nat.svelte') },
  { id: 'objects', title: 'page.objects', icon: 'objects', group: 'policy', load: () => import('./Objects.svelte') },
  { id: 'explain', title: 'page.explain', icon: 'explain', group: 'policy', load: () => import('./Explain.svelte') },
  { id: 'interfaces', title: 'page.interfaces', icon: 'interfaces', group: 'network', load: () => import('./Interfaces.svelte') },
  { id: 'zones', title: 'page.zones', icon: 'applications', group: 'network', load: () => import('./Zones.svelte') },
  { id: 'routes', title: 'page.routes', icon: 'routes', group: 'network', load: () => import('./Routes.svelte') },
  { id: 'configuration', title: 'page.configuration', icon: 'yaml', group: 'manage', load: () => import('./Configuration.svelte') },
  { id: 'history', title: 'page.history', icon: 'history', group: 'manage', load: () => import('./History.svelte') },
  { id: 'users', title: 'page.users', icon: 'users', group: 'manage', load: () => import('./Users.svelte') },
  { id: 'tokens', title: 'page.tokens', icon: 'lock', group: 'manage', load: () => import('./Tokens.svelte') },
  { id: 'system', title: 'page.system', icon: 'system', group: 'manage', load: () => import('./System.svelte') }
]

export const GROUPS = ['monitor', 'policy', 'network', 'manage'] as const
