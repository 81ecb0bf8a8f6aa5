/** What the appliance keeps of its counters over time. */

import { api, asked } from './client'
import { Refused } from './problem'
import type { paths } from './schema'

type Series = paths['/api/v1/series']['get']
type Query = NonNullable<Series['parameters']['query']>
type Answer = Series['responses'][200]['content']['application/json']

/** After how long a series that was not there is looked for again. */
const AGAIN = 30_000

let known: ReadonlySet<string> = new Set()
let lookedAt = -Infinity
let looking: Promise<void> | undefined

/**
 * Those of the series that there are: one has no name before it has counted something, such as the drops of an interface
 * that never dropped anything, and a question about several is refused for one.
 */
export async function seriesOf(query: Query & { name: string[] }): Promise<Answer> {
  if (!query.name.every((name) => known.has(name)) && performance.now() - lookedAt > AGAIN) await look()
  try {
    return await ofKnown(query)
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 404) throw error
  }
  // It began anew meanwhile, and has not counted everything yet.
  await look()
  return ofKnown(query)
}

/** All who ask at once are told by one answer. */
function look(): Promise<void> {
  looking ??= ask({})
    .then((all) => {
      known = new Set(all.map((one) => one.name))
      lookedAt = performance.now()
    })
    .finally(() => (looking = undefined))
  return looking
}

async function ofKnown(query: Query & { name: string[] }): Promise<Answer> {
  const name = query.name.filter((one) => known.has(one))
  return name.length > 0 ? ask({ ...query, name }) : []
}

function ask(query: Query): Promise<Answer> {
  return asked<Answer>(api.GET('/api/v1/series', { params: { query } }))
}
