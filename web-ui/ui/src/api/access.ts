/** Whether a commit would cut off the person who makes it. */

import { t } from '../i18n/index.svelte'
import { section, text } from '../lib/document'
import { candidate } from './candidate.svelte'
import { api, asked } from './client'
import { session } from './session.svelte'
import type { MatchView } from './types'

/** Why this browser would not reach the appliance any more; undefined where nothing says so. */
export async function losesAccess(): Promise<string | undefined> {
  const who = session.identity
  if (!who || who.via === 'socket') return undefined
  const listens = [candidate.running, candidate.document].map((document) => text(section(document, 'management')['listen']))
  if (listens[0] !== listens[1]) return t('access.listen', { listen: listens[1] || t('none') })
  const [before, after] = await Promise.all([verdict('running'), verdict('candidate')])
  if (before?.verdict !== 'permit' || after === undefined || after.verdict === 'permit') return undefined
  return after.policy ? t('access.policy', { policy: after.policy }) : t('access.way')
}

/** Of a connection like this browser's; undefined where it can't be asked about: a name instead of an address, say. */
async function verdict(configuration: 'running' | 'candidate'): Promise<MatchView | undefined> {
  const source = session.identity?.address
  const destination = location.hostname.replace(/^\[|\]$/g, '')
  if (!source || !/^[\d.]+$|:/.test(destination)) return undefined
  const port = Number(location.port || 443)
  try {
    return await asked(
      api.POST('/api/v1/policies/match', {
        body: { configuration, source, destination, protocol: 'tcp', 'destination-port': port }
      })
    )
  } catch {
    return undefined
  }
}
