/**
 * Live data. A browser opens few connections to one host, and the appliance takes few streams of one user, so all
 * windows of a browser share one: whichever holds the lock has the stream and passes on what comes.
 */

import { untrack } from 'svelte'

import { connection } from './connection.svelte'
import { recognise, session } from './session.svelte'
import { trouble } from './trouble.svelte'

type Listener = (name: string, data: unknown) => void

/** After how long without a key or a pointer nothing is asked for any more, so that the session can end (after 30 min). */
const IDLE = 20 * 60_000
const RETRY_FIRST = 1_000
const RETRY_MOST = 15_000

let touched = Date.now()
for (const kind of ['pointerdown', 'pointermove', 'keydown', 'wheel']) {
  addEventListener(kind, () => (touched = Date.now()), { passive: true, capture: true })
}

/** Whether somebody looks: the window is visible, and was used lately. */
export function watched(): boolean {
  return document.visibilityState === 'visible' && Date.now() - touched < IDLE
}

interface Ways {
  /** What to do now and then while there is no stream. */
  fallback?: () => Promise<void>
  /** What to do when there is one (again): what came before it is not in it. */
  opened?: () => Promise<void>
  /** After so many milliseconds without anything, it is dead: where something comes all the time. */
  silence?: number
}

/** Server-sent events of `path`, of all windows one stream. */
export class Shared {
  readonly #listeners = new Set<Listener>()
  readonly #channel: BroadcastChannel
  readonly #ways: Ways
  #release: (() => void) | undefined
  #watch: ReturnType<typeof setTimeout> | undefined
  /** Ends the stream of this window, if it is this one that has it. */
  #end: () => void = () => undefined

  constructor(
    readonly path: string,
    readonly names: readonly string[],
    ways: Ways = {}
  ) {
    this.#ways = ways
    this.#channel = new BroadcastChannel(`palisade ${path}`)
    this.#channel.onmessage = ({ data }: MessageEvent<{ name: string; data: unknown }>) => this.#tell(data.name, data.data)
  }

  /** Returns how to stop. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener)
    if (this.#listeners.size === 1) this.#begin()
    return () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size === 0) {
        this.#release?.()
        this.#release = undefined
        clearTimeout(this.#watch)
      }
    }
  }

  #begin(): void {
    this.#heard()
    const given = new AbortController()
    let stop: () => void = () => undefined
    const stopped = new Promise<void>((resolve) => (stop = resolve))
    this.#release = () => {
      given.abort()
      stop()
    }
    if (!('locks' in navigator)) {
      // Without a secure context: `palisade lab` on another machine. One stream for each window, then.
      void this.#follow(stopped)
      return
    }
    navigator.locks
      .request(`palisade ${this.path}`, { signal: given.signal }, () => this.#follow(stopped))
      .catch(() => undefined)
  }

  /** Until `stopped`. */
  async #follow(stopped: Promise<void>): Promise<void> {
    let over = false
    void stopped.then(() => (over = true))
    let wait = RETRY_FIRST
    while (!over) {
      if (!connection.up) {
        await Promise.race([stopped, new Promise((resolve) => setTimeout(resolve, RETRY_FIRST))])
        continue
      }
      const began = Date.now()
      await this.#stream(stopped)
      if (over) return
      if (Date.now() - began > RETRY_MOST) wait = RETRY_FIRST
      if (connection.up && session.state === 'in' && watched()) {
        // It may have ended because the session has.
        await recognise().catch(() => connection.lost())
        if (session.state === 'in') await this.#ways.fallback?.().catch(() => undefined)
      }
      await Promise.race([stopped, new Promise((resolve) => setTimeout(resolve, wait))])
      wait = Math.min(wait * 2, RETRY_MOST)
    }
  }

  /** Until the stream ends. */
  #stream(stopped: Promise<void>): Promise<void> {
    return new Promise((resolve) => {
      const source = new EventSource(this.path)
      const { silence } = connection
      const end = () => {
        silence.removeEventListener('abort', end)
        source.close()
        resolve()
      }
      silence.addEventListener('abort', end)
      this.#end = end
      this.#heard()
      source.onopen = () => {
        connection.found()
        this.#ways.opened?.().catch(() => undefined)
      }
      source.onerror = end
      void stopped.then(end)
      for (const name of this.names) {
        source.addEventListener(name, ({ data }: MessageEvent<string>) => {
          const parsed: unknown = JSON.parse(data)
          this.#tell(name, parsed)
          this.#channel.postMessage({ name, data: parsed })
        })
      }
    })
  }

  #tell(name: string, data: unknown): void {
    this.#heard()
    for (const listener of this.#listeners) listener(name, data)
  }

  /** Something has come, or is awaited from now on: here or in the window that has the stream. */
  #heard(): void {
    const { silence } = this.#ways
    if (silence === undefined) return
    clearTimeout(this.#watch)
    if (this.#listeners.size === 0) return
    this.#watch = setTimeout(() => {
      this.#end()
      if (watched() && session.state === 'in') connection.doubted()
      this.#heard()
    }, silence)
  }
}

/** Calls `ask` now and every so often while somebody looks, one call at a time. For effects: returns how to stop. */
export function poll(ask: () => Promise<void>, milliseconds: number): () => void {
  let stopped = false
  let asking = false
  let timer: ReturnType<typeof setTimeout> | undefined
  const self = {}
  const run = async () => {
    if (asking) return
    asking = true
    if (watched() && connection.up) {
      await ask().then(
        () => trouble.over(self),
        (error: unknown) => {
          if (!stopped) trouble.of(self, error)
        }
      )
    }
    asking = false
    if (!stopped) timer = setTimeout(() => void run(), milliseconds)
  }
  const look = () => {
    if (document.visibilityState !== 'visible') return
    clearTimeout(timer)
    void run()
  }
  // What is asked for is no reason for an effect to begin anew.
  untrack(() => void run())
  document.addEventListener('visibilitychange', look)
  return () => {
    stopped = true
    trouble.over(self)
    clearTimeout(timer)
    document.removeEventListener('visibilitychange', look)
  }
}
