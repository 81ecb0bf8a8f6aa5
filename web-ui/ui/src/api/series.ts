/** What the appliance keeps of its counters over time. */

import { api, asked } from './client'
import { Refused } from './problem'
import type { paths } from './schema'

type Series = paths['/api/v1/series']['get']
type Query = NonNullable<Series['parameters']['query']>
type Answer = Series['responses'][200]['content']['application/json']

/** Nothing of an appliance that began a moment ago: a series has no name before its first second. */
export async function seriesOf(query: Query): Promise<Answer> {
  try {
    return await asked<Answer>(api.GET('/api/v1/series', { params: { query } }))
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return []
    throw error
  }
}
