/** A question and its answer, which has to come in time. */

import { connection } from './connection.svelte'
import { Unreachable } from './problem'

/** Of what is looked up. */
const READ = 15_000
/** Of what is changed or looked at as a whole, the configuration. The appliance takes half a minute for a body alone. */
const WRITE = 60_000

/** While it is known that nobody answers: long enough for one that is back. */
const LOST = 5_000

/** An answer that is there as a whole. Another would read its body as a stream once more, some tasks later. */
class Whole extends Response {
  readonly #body: ArrayBuffer

  constructor(body: ArrayBuffer, init: ResponseInit & { status: number }) {
    // RFC 9110: those with these numbers have no body, and the browser takes none for them.
    super([204, 205, 304].includes(init.status) ? null : body, init)
    this.#body = body
  }

  override async text(): Promise<string> {
    return new TextDecoder().decode(this.#body)
  }

  override async json(): Promise<unknown> {
    return JSON.parse(await this.text()) as unknown
  }
}

/** The whole answer. `Unreachable` where there is none, or not all of it. */
export async function answered(request: Request): Promise<Response> {
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(), timeFor(request))
  const { silence } = connection
  try {
    const response = await fetch(request, { signal: AbortSignal.any([request.signal, late.signal, silence]) })
    const body = await response.arrayBuffer()
    connection.found()
    const { status, statusText, headers } = response
    return new Whole(body, { status, statusText, headers })
  } catch (error) {
    if (request.signal.aborted) throw error
    if (late.signal.aborted) connection.doubted()
    else if (!silence.aborted) connection.lost()
    throw new Unreachable()
  } finally {
    clearTimeout(timer)
  }
}

function timeFor({ method, url }: Request): number {
  if (!connection.up) return LOST
  return method === 'GET' && !new URL(url).pathname.startsWith('/api/v1/config') ? READ : WRITE
}
