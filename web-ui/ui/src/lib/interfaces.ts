/** How an interface is doing, in one word. */

import type { InterfaceView } from '../api/types'

/** Empty for one that is not in force. */
export function stateOf(view: InterfaceView | undefined): 'up' | 'down' | 'waiting' | '' {
  if (!view) return ''
  if (view.state === 'waiting') return 'waiting'
  return view.up ? 'up' : 'down'
}

export const STATE_COLOURS = { up: 'good', down: 'bad', waiting: 'warn', '': 'plain' } as const
