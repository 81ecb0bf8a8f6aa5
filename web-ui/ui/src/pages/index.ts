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
  { id: 'policies', title: 'page.policies', icon: 'policies', group: 'policy', load: () => import('./Policies.svelte') }
]

export const GROUPS = ['monitor', 'policy', 'network', 'manage'] as const
