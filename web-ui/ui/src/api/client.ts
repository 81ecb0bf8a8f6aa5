/** Asks the API: typed by its description, with the session's token, again after a new sign-in, and with errors as exceptions. */

import createClient from 'openapi-fetch'

import { synchronise } from '../lib/now.svelte'
import { answered } from './answered'
import { Refused, Unreachable, refusal } from './problem'
import type { paths } from './schema'
import { recognise, session, signedInAgain } from './session.svelte'

/** What `api` answers with: `data` where it went well. */
interface Answer<T> {
  data?: T
  error?: unknown
  response: Response
}

export const api = createClient<paths>({ baseUrl: '/', fetch: send })

/** The answer's data, or an exception: `Refused`, `Unreachable`. */
export async function asked<T>(answer: Promise<Answer<T>>): Promise<T> {
  const { data } = await answer
  return data as T
}

async function send(request: Request): Promise<Response> {
  for (let tries = 0; ; tries += 1) {
    const attempt = request.clone()
    if (session.csrf && request.method !== 'GET') attempt.headers.set('x-csrf-token', session.csrf)
    const response = await answered(attempt)
    synchronise(response.headers.get('date'))
    if (response.ok || response.status === 304) return response
    if (response.status === 401) {
      await signedInAgain()
      continue
    }
    const refused = await refusal(response)
    // Signed in anew in another window: the cookie is another session's.
    if (refused.kind === 'csrf-token' && tries === 0) {
      await recognise()
      continue
    }
    if (refused.kind === 'password-change-required') await recognise()
    throw refused
  }
}

export { Refused, Unreachable }
