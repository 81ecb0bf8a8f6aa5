/** What the API says when it can't do what was asked (RFC 9457), and which field of a form it is about. */

import { t, translated } from '../i18n/index.svelte'
import type { Mistake, Problem } from './types'

/** The API refused. */
export class Refused extends Error {
  constructor(
    readonly problem: Problem,
    /** When to try again, where it says so. */
    readonly retryAfterSeconds?: number
  ) {
    super(translated(problem.detail || problem.title))
    this.name = 'Refused'
  }

  get status(): number {
    return this.problem.status
  }

  /** `role`, `csrf-token`, …; empty where the status says it all. */
  get kind(): string {
    return this.problem.type.startsWith(PREFIX) ? this.problem.type.slice(PREFIX.length) : ''
  }
}

/** Nobody answered. */
export class Unreachable extends Error {
  constructor() {
    super(t('unreachable'))
    this.name = 'Unreachable'
  }
}

const PREFIX = 'urn:palisade:problem:'

/** Of an answer that is no success. One that is not the API's (a proxy's, say) is told by its status. */
export async function refusal(response: Response): Promise<Refused> {
  const wait = Number(response.headers.get('retry-after'))
  let problem: Problem = { type: 'about:blank', title: response.statusText, status: response.status, detail: '' }
  try {
    const body: unknown = await response.json()
    if (isProblem(body)) problem = body
  } catch {
    // No JSON.
  }
  return new Refused(problem, Number.isFinite(wait) && wait > 0 ? wait : undefined)
}

function isProblem(body: unknown): body is Problem {
  return typeof body === 'object' && body !== null && 'detail' in body && 'status' in body
}

/** What there is to say about a form: by field, and what is about none of them. */
export interface Complaints {
  fields: Record<string, string>
  /** By pointer below what the form edits, for fields that have fields: `/l7/host/0`. */
  within: Record<string, string>
  general: string[]
}

export const NO_COMPLAINTS: Complaints = { fields: {}, within: {}, general: [] }

/**
 * Sorts a problem by fields. `base` is the JSON pointer of what the form edits, in the document that the problem is
 * about; `fields` are the form's. A mistake deep within a field is that field's.
 */
export function complaints(error: unknown, base: string, fields: readonly string[]): Complaints {
  if (!(error instanceof Refused)) {
    return { fields: {}, within: {}, general: [error instanceof Error ? error.message : String(error)] }
  }
  const { problem } = error
  const said: Complaints = { fields: {}, within: {}, general: [] }
  const tell = (pointer: string | null | undefined, message: string) => {
    const field = fieldOf(pointer, base)
    if (field !== undefined && fields.includes(field)) {
      add(said.fields, field, message)
      add(said.within, (pointer ?? '').slice(base.length), message)
    } else {
      said.general.push(message)
    }
  }
  const mistakes = (problem.errors ?? []).filter((mistake) => mistake.severity !== 'warning')
  for (const mistake of mistakes) tell(mistake.pointer, spoken(mistake))
  if (mistakes.length === 0) {
    if (problem.parameter && fields.includes(problem.parameter)) said.fields[problem.parameter] = error.message
    else tell(problem.pointer, error.message)
  }
  return said
}

function add(to: Record<string, string>, key: string, message: string): void {
  to[key] = to[key] ? `${to[key]}\n${message}` : message
}

/** What is said of the field at a pointer; of all that is in it, where it shows that as one. */
export function saidOf(within: Record<string, string>, pointer: string, whole: boolean): string {
  return Object.entries(within)
    .filter(([at]) => at === pointer || (whole && at.startsWith(`${pointer}/`)))
    .map(([, message]) => message)
    .join('\n')
}

export function spoken(mistake: Mistake): string {
  const message = translated(mistake.message)
  return mistake.suggestion ? `${message} (${mistake.suggestion}?)` : message
}

/** The first token below `base`, unescaped; undefined outside of it. */
function fieldOf(pointer: string | null | undefined, base: string): string | undefined {
  if (pointer === null || pointer === undefined) return undefined
  if (base !== '' && pointer !== base && !pointer.startsWith(`${base}/`)) return undefined
  const token = pointer.slice(base.length).split('/')[1]
  return token?.replace(/~1/g, '/').replace(/~0/g, '~')
}
