/** What the appliance keeps of its counters over time. */

import { api, asked } from './client'
import { Refused } from './problem'
import type { paths } from './schema'

type Series = paths['/api/v1/series']['get']
type Query = NonNullable<Series['parameters']['query']>
type Answer = Series['responses'][200]['content']['application/json']

/**
 * Those of the series that there are: one has no name before it has counted something, such as the drops of an interface
 * that never dropped anything, and a question about several is refused for one.
 */
export async function seriesOf(query: Query & { name: string[] }): Promise<Answer> {
  try {
    return await ask(query)
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 404) throw error
  }
  const known = new Set((await ask({})).map((one) => one.name))
  const name = query.name.filter((one) => known.has(one))
  return name.length > 0 ? ask({ ...query, name }) : []
}

function ask(query: Query): Promise<Answer> {
  return asked<Answer>(api.GET('/api/v1/series', { params: { query } }))
}
