/** Whether a commit would cut off the person who makes it. */

import { t } from '../i18n/index.svelte'
import { items, section, text } from '../lib/document'
import { candidate } from './candidate.svelte'
import { api, asked } from './client'
import { session } from './session.svelte'
import type { MatchView, RouteView } from './types'

/** Why this browser would not reach the appliance any more; undefined where nothing says so. */
export async function losesAccess(): Promise<string | undefined> {
  const who = session.identity
  if (!who || who.via === 'socket') return undefined
  const [before, after] = [candidate.running, candidate.document].map((document) => text(section(document, 'management')['listen']))
  if (before !== after) return t('access.listen', { listen: after || t('none') })
  const { address } = who
  const ingress = address ? await interfaceOf(address).catch(() => undefined) : undefined
  // A device that the configuration leaves to the kernel is nobody's business here.
  if (!address || !ingress) return undefined
  if (!items(candidate.document, 'interfaces').some((one) => one.name === ingress)) return t('access.way')
  const [now, then] = await Promise.all([verdict('running', address, ingress), verdict('candidate', address, ingress)])
  if (now?.verdict !== 'permit' || then === undefined || then.verdict === 'permit') return undefined
  return then.policy ? t('access.policy', { policy: then.policy }) : t('access.way')
}

/** By which configured interface an address is reached. */
async function interfaceOf(address: string): Promise<string | undefined> {
  const { routes } = await asked(api.GET('/api/v1/routes', { params: { query: { address } } }))
  const length = (route: RouteView) => Number(route.to.split('/')[1] ?? 0)
  const [best] = routes.toSorted((a, b) => length(b) - length(a) || a.metric - b.metric)
  return items(candidate.running, 'interfaces').find((one) => one.name === best?.interface)?.name
}

/** Of a connection like this browser's; undefined where it can't be asked about: a name instead of an address, say. */
async function verdict(configuration: 'running' | 'candidate', source: string, ingress: string): Promise<MatchView | undefined> {
  const destination = location.hostname.replace(/^\[|\]$/g, '')
  if (!/^[\d.]+$|:/.test(destination)) return undefined
  try {
    return await asked(
      api.POST('/api/v1/policies/match', {
        body: { configuration, source, destination, ingress, protocol: 'tcp', 'destination-port': Number(location.port || 443) }
      })
    )
  } catch {
    return undefined
  }
}
