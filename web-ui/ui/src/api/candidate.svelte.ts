/**
 * The candidate: what is edited, how it differs from what is in force, what there is to say about it, and whether a
 * commit awaits confirmation. Edits show at once and are taken back when the appliance refuses them.
 */

import { changes, type Change } from '../lib/changes'
import { apply, type Json, type Operation } from '../lib/json'
import { api, asked, Refused } from './client'
import { connection } from './connection.svelte'
import { Shared } from './live.svelte'
import { session } from './session.svelte'
import type { CheckView, ConfigView, Event } from './types'

let written: Json = $state.raw({})
let running: Json = $state.raw({})
let status: ConfigView | undefined = $state.raw()
let check: CheckView | undefined = $state.raw()
let tag = ''
let runningTag = ''
let loaded = $state(false)
let failure: unknown = $state.raw()
/** Rises with every configuration that is put in force. */
let commits = $state(0)
let checking: ReturnType<typeof setTimeout> | undefined
/** What the check was asked of: of the same, it says the same. */
let looked = ''
/** A check is hard work for the appliance, which has the first page to answer. */
const FIRST_LOOK = 800
/** Edits are sent one after the other, each upon the one before. */
let queue: Promise<unknown> = Promise.resolve()

const list: Change[] = $derived(changes(running, written))

export const candidate = {
  /** As it is written, for the functions of `document` and `edits`. */
  get document() {
    return written
  },
  get running() {
    return running
  },
  get status() {
    return status
  },
  get check() {
    return check
  },
  get loaded() {
    return loaded
  },
  get failure() {
    return failure
  },
  get commits() {
    return commits
  },
  get changes(): Change[] {
    return list
  },
  /** The text differs, if only by comments. */
  get changed(): boolean {
    return status?.changed ?? false
  },
  get tag() {
    return tag
  }
}

/** Looks at everything again; what has not changed is not sent. */
export async function load(): Promise<void> {
  try {
    await Promise.all([loadCandidate(), loadRunning(), loadStatus()])
    const isFirst = !loaded
    loaded = true
    failure = undefined
    if (looked !== lookedAt()) look(isFirst ? FIRST_LOOK : 0)
  } catch (error) {
    failure = error
    throw error
  }
}

/**
 * Changes the candidate by what `make` says of it. Where somebody else was faster, `make` is asked again about what is
 * there now; it throws where that makes no sense any more.
 */
export function edit(make: (document: Json) => Operation[]): Promise<void> {
  const turn = queue.then(() => send(make))
  queue = turn.catch(() => undefined)
  return turn
}

async function send(make: (document: Json) => Operation[]): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    const before = written
    const operations = make(before)
    if (operations.length === 0) return
    written = apply(before, operations)
    try {
      const { data, response } = await api.PATCH('/api/v1/config/candidate', {
        params: { header: { 'If-Match': tag } },
        body: operations as never,
        headers: { 'content-type': 'application/json-patch+json' },
        bodySerializer: (body) => JSON.stringify(body)
      })
      took(response, data?.changed)
      return
    } catch (error) {
      written = before
      if (!(error instanceof Refused) || error.status !== 412 || tries >= 3) throw error
      await loadCandidate()
    }
  }
}

/** Makes a text the candidate, unless somebody changed it since `since`. */
export async function replaceText(yaml: string, since: string): Promise<void> {
  const { response } = await api.PUT('/api/v1/config/candidate', {
    params: { header: { 'If-Match': since } },
    body: yaml as never,
    headers: { 'content-type': 'application/yaml' },
    bodySerializer: (body) => String(body)
  })
  tag = response.headers.get('etag') ?? ''
  await load()
}

export async function discard(): Promise<void> {
  await api.DELETE('/api/v1/config/candidate', { params: { header: { 'If-Match': tag } } })
  await load()
}

export async function commit(comment: string, confirmWithin: string | undefined): Promise<void> {
  await asked(
    api.POST('/api/v1/config/commit', {
      params: { header: { 'If-Match': tag } },
      body: { comment, 'confirm-within': confirmWithin ?? null }
    })
  )
  await load()
}

/** What became of a commit that nobody answered for. */
export type Fate = 'awaited' | 'in-force' | 'undone' | 'never'

/** `after`: the last revision that there was before. */
export async function fateOf(comment: string, after: number): Promise<{ fate: Fate; revision: number }> {
  await load()
  const history = await asked(api.GET('/api/v1/config/history'))
  const made = history.find((one) => one.revision > after && one.comment === comment && one.author === session.identity?.name)
  if (!made) return { fate: 'never', revision: 0 }
  const { revision, state } = made
  return { fate: state === 'awaiting-confirmation' ? 'awaited' : state === 'undone' ? 'undone' : 'in-force', revision }
}

/** Of all that were ever committed. */
export async function lastRevision(): Promise<number> {
  const history = await asked(api.GET('/api/v1/config/history'))
  return Math.max(0, ...history.map((one) => one.revision))
}

export async function confirm(): Promise<void> {
  await asked(api.POST('/api/v1/config/confirm', {}))
  await load()
}

/** Makes an earlier revision the candidate. */
export async function rollback(revision: number): Promise<void> {
  await asked(api.POST('/api/v1/config/rollback', { params: { header: { 'If-Match': tag } }, body: { revision } }))
  await load()
}

async function loadCandidate(): Promise<void> {
  const { data, response } = await api.GET('/api/v1/config/candidate', tag && loaded ? { headers: { 'if-none-match': tag } } : {})
  if (response.status === 304) return
  written = (data ?? {}) as Json
  tag = response.headers.get('etag') ?? ''
}

async function loadRunning(): Promise<void> {
  const { data, response } = await api.GET('/api/v1/config/running', runningTag ? { headers: { 'if-none-match': runningTag } } : {})
  if (response.status === 304) return
  running = (data ?? {}) as Json
  runningTag = response.headers.get('etag') ?? ''
}

async function loadStatus(): Promise<void> {
  const next = await asked(api.GET('/api/v1/config'))
  if (status && status.revision !== next.revision) commits += 1
  status = next
}

function took(response: Response, changed: boolean | undefined): void {
  tag = response.headers.get('etag') ?? ''
  if (status && changed !== undefined) status = { ...status, changed }
  look(250)
}

/** Checks the candidate when nothing has been changed for a moment. */
function look(milliseconds: number): void {
  clearTimeout(checking)
  looked = lookedAt()
  checking = setTimeout(() => {
    asked(api.GET('/api/v1/config/check')).then(
      (view) => (check = view),
      () => (looked = '')
    )
  }, milliseconds)
}

/** The documents, and the appliance that looks at them: one that is back may be another version. */
function lookedAt(): string {
  return `${tag} ${runningTag} ${connection.returns}`
}

/** What has happened to configurations and in the audit, as it happens. */
const news = new Shared('/api/v1/events/stream?kind=commit,confirm,undo,audit', ['commit', 'confirm', 'undo', 'audit'], {
  fallback: load,
  opened: async () => {
    await queue
    await load()
  }
})

type NewsListener = (event: Event) => void
const listeners = new Set<NewsListener>()

/** For those who show who did what. */
export function onNews(listener: NewsListener): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** For an effect: another editor's commit shows at once. */
export function followCandidate(): () => void {
  let soon: ReturnType<typeof setTimeout> | undefined
  const stop = news.listen((_, data) => {
    const event = data as Event
    for (const listener of listeners) listener(event)
    clearTimeout(soon)
    // Not while an edit of this window is on its way: it would be shown as it was before.
    soon = setTimeout(() => void queue.then(() => load().catch(() => undefined)), 150)
  })
  return () => {
    clearTimeout(soon)
    stop()
  }
}
