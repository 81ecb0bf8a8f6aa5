/** The last second, and the seconds before that this window has seen. */

import { clock } from '../lib/now.svelte'
import { api, asked } from './client'
import { Shared } from './live.svelte'
import { seriesOf } from './series'
import type { RatesView } from './types'

/** Two minutes of seconds: what a sparkline shows. */
const KEPT = 120

let now: RatesView | undefined = $state.raw()
let seen: RatesView[] = $state.raw([])

export const rates = {
  get now() {
    return now
  },
  /** Oldest first. */
  get seen() {
    return seen
  }
}

/** Something comes every second. */
const SILENCE = 5_000

const stream = new Shared('/api/v1/rates/stream', ['rates'], {
  fallback: async () => take(await asked(api.GET('/api/v1/rates'))),
  silence: SILENCE
})

/** While nothing else is asked for yet: the stream comes after all that the first page asks for. */
export async function first(): Promise<void> {
  try {
    const response = await fetch('/api/v1/rates')
    if (response.ok && !now) take((await response.json()) as RatesView)
  } catch {
    // The stream tells.
  }
}

/** For an effect. */
export function followRates(): () => void {
  return stream.listen((_, data) => take(data as RatesView))
}

function take(view: RatesView): void {
  if (now?.at === view.at) return
  now = view
  seen = [...seen.slice(1 - KEPT), view]
}

/** The seconds before this window was opened, from what the appliance keeps, so that nothing begins empty. */
export async function remember(interfaces: readonly string[]): Promise<void> {
  const names = ['sessions', 'sessions.opened', 'process.busy', 'process.memory', 'packets.fast-path', 'packets.workers']
  const traffic = interfaces.slice(0, 8).flatMap((name) => [`interface.${name}.received-bytes`, `interface.${name}.received-packets`, `interface.${name}.drops`])
  const since = String(Math.floor(clock.now / 1000) - KEPT)
  const series = await seriesOf({ name: [...names, ...traffic], since })
  const first = seen[0] ? Math.floor(Date.parse(seen[0].at) / 1000) : Infinity
  const points = new Map(series.map((one) => [one.name, one.points?.values ?? []]))
  const times = series[0]?.points?.times ?? []
  const before = times
    .map((time, index): RatesView => {
      const of = (name: string) => points.get(name)?.[index] ?? 0
      const [fast, slow] = [of('packets.fast-path'), of('packets.workers')]
      return {
        at: new Date(time * 1000).toISOString(),
        interfaces: interfaces.map((name) => ({
          name,
          'received-bits-per-second': of(`interface.${name}.received-bytes`) * 8,
          'received-packets-per-second': of(`interface.${name}.received-packets`),
          'sent-bits-per-second': 0,
          'sent-packets-per-second': 0,
          'drops-per-second': of(`interface.${name}.drops`)
        })),
        sessions: of('sessions'),
        'new-sessions-per-second': of('sessions.opened'),
        'ended-sessions-per-second': 0,
        'fast-path-share': fast + slow > 0 ? fast / (fast + slow) : 0,
        drops: [{ reason: '', 'per-second': interfaces.reduce((sum, name) => sum + of(`interface.${name}.drops`), 0) }],
        punts: [],
        'cpu-share': of('process.busy'),
        'memory-bytes': of('process.memory')
      }
    })
    // Seconds before it started, and those that are not written yet, are not known.
    .filter((_, index) => (times[index] ?? 0) < first && series.some((one) => (one.points?.values[index] ?? null) !== null))
  seen = [...before, ...seen].slice(-KEPT)
}
