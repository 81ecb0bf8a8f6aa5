/**
 * Who is signed in. When a session ends in the middle of something, the page stays as it is: whoever asked the API
 * waits until somebody has signed in again, and then asks once more.
 */

import { answered } from './answered'
import { refusal } from './problem'
import type { Identity, Role } from './types'

type State =
  /** Nothing is known yet. */
  | 'starting'
  /** Nobody is signed in, and nothing is on the screen. */
  | 'out'
  /** Somebody was; what they were doing is still there. */
  | 'expired'
  /** Signed in with a password that has to be changed first. */
  | 'must-change'
  | 'in'

const RANKS: Record<Role, number> = { 'read-only': 0, operator: 1, admin: 2 }

let state: State = $state('starting')
let identity: Identity | undefined = $state.raw()
let waiting: (() => void)[] = []

export const session = {
  get state() {
    return state
  },
  get identity() {
    return identity
  },
  get csrf(): string | undefined {
    return identity?.['csrf-token'] ?? undefined
  },
  /** Whether the unix socket or a relay to it lets in whoever comes: there is no signing out. */
  get open() {
    return identity?.via === 'socket'
  },
  may(role: Role): boolean {
    return identity !== undefined && RANKS[identity.role] >= RANKS[role]
  }
}

/** Looks who the browser's cookie says it is. */
export async function recognise(): Promise<void> {
  const response = await answered(new Request('/api/v1/whoami'))
  if (response.ok) become((await response.json()) as Identity)
  else if (response.status === 401) ended()
  else throw await refusal(response)
}

export async function signIn(name: string, password: string): Promise<void> {
  const response = await send('/api/v1/login', { name, password })
  if (!response.ok) throw await refusal(response)
  become((await response.json()) as Identity)
}

/** Ends all sessions of the user; so this one begins anew. */
export async function changePassword(current: string, chosen: string): Promise<void> {
  const name = identity?.name ?? ''
  const response = await send('/api/v1/password', { current, new: chosen })
  if (!response.ok) throw await refusal(response)
  await signIn(name, chosen)
}

export async function signOut(): Promise<void> {
  const response = await send('/api/v1/logout', undefined)
  // 401: it was over already.
  if (!response.ok && response.status !== 401) throw await refusal(response)
  identity = undefined
  state = 'out'
}

/** Resolves when somebody is signed in again. */
export function signedInAgain(): Promise<void> {
  ended()
  return new Promise((resolve) => waiting.push(resolve))
}

function become(who: Identity): void {
  identity = who
  if (who['must-change-password']) {
    state = 'must-change'
    return
  }
  state = 'in'
  const resumed = waiting
  waiting = []
  for (const resume of resumed) resume()
}

function ended(): void {
  state = state === 'in' || state === 'expired' ? 'expired' : 'out'
}

function send(path: string, body: unknown): Promise<Response> {
  const headers: Record<string, string> = {}
  if (body !== undefined) headers['content-type'] = 'application/json'
  if (session.csrf) headers['x-csrf-token'] = session.csrf
  const init: RequestInit = { method: 'POST', headers }
  if (body !== undefined) init.body = JSON.stringify(body)
  return answered(new Request(path, init))
}

// Somebody may have signed in in another window.
addEventListener('focus', () => {
  if (state === 'expired' || state === 'out') void recognise().catch(() => undefined)
})
