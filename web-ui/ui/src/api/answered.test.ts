import { afterEach, beforeEach, expect, test, vi } from 'vitest'

/** Questions that are on their way, and what each was answered, if it was. */
let asked: { path: string; signal: AbortSignal | null | undefined }[] = []
let alive = true
/** Those that hang, to be answered when it goes on. */
let hanging: ((answer: Response) => void)[] = []

beforeEach(() => {
  vi.resetModules()
  vi.useFakeTimers()
  vi.stubGlobal('addEventListener', () => undefined)
  asked = []
  alive = true
  hanging = []
  vi.stubGlobal('fetch', (input: Request | string, init?: RequestInit) => {
    const path = typeof input === 'string' ? input : new URL(input.url).pathname
    asked.push({ path, signal: init?.signal })
    if (path === '/healthz' && alive) return Promise.resolve(new Response('ok'))
    return new Promise((resolve, reject) => {
      if (path === '/healthz') hanging.push(resolve)
      init?.signal?.addEventListener('abort', () => reject(new DOMException('', 'AbortError')))
    })
  })
})

afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

async function modules() {
  const [{ answered }, { connection }] = await Promise.all([import('./answered'), import('./connection.svelte')])
  return { answered, connection }
}

const failure = (answer: Promise<unknown>) => answer.then(() => 'answered', (error: Error) => error.name)

test('what is not answered in time is told, and the appliance goes on being there when it says that it is', async () => {
  const { answered, connection } = await modules()
  const slow = failure(answered(new Request('https://appliance/api/v1/events')))
  await vi.advanceTimersByTimeAsync(15_000)
  expect(await slow).toBe('Unreachable')
  expect(asked.map(({ path }) => path)).toEqual(['/api/v1/events', '/healthz'])
  expect(connection.up).toBe(true)
})

test('a change and a look at the configuration have more time', async () => {
  const { answered } = await modules()
  const commit = failure(answered(new Request('https://appliance/api/v1/config/commit', { method: 'POST' })))
  const check = failure(answered(new Request('https://appliance/api/v1/config/check')))
  await vi.advanceTimersByTimeAsync(59_000)
  expect(asked.map(({ path }) => path)).not.toContain('/healthz')
  await vi.advanceTimersByTimeAsync(1_000)
  expect(await Promise.all([commit, check])).toEqual(['Unreachable', 'Unreachable'])
})

test('an appliance that falls silent takes along all that is on its way, and is asked until it is back', async () => {
  const { answered, connection } = await modules()
  alive = false
  const commit = failure(answered(new Request('https://appliance/api/v1/config/commit', { method: 'POST' })))
  const reading = failure(answered(new Request('https://appliance/api/v1/sessions')))
  connection.doubted()
  await vi.advanceTimersByTimeAsync(3_000)
  expect(await Promise.all([commit, reading])).toEqual(['Unreachable', 'Unreachable'])
  expect(connection.up).toBe(false)
  expect(asked.every(({ signal }) => signal?.aborted)).toBe(true)
  // A change that somebody saves now is refused soon, and by nobody in particular.
  const saving = failure(answered(new Request('https://appliance/api/v1/config/candidate', { method: 'PATCH' })))
  await vi.advanceTimersByTimeAsync(5_000)
  expect(await saving).toBe('Unreachable')
  // It is asked by some connections of different ages, as the browser has no more than six.
  await vi.advanceTimersByTimeAsync(300_000)
  const asking = asked.slice(3).filter(({ path }) => path === '/healthz')
  expect(asking).toHaveLength(5)
  expect(asking.some(({ signal }) => signal?.aborted)).toBe(false)
  hanging.at(-1)?.(new Response('ok'))
  await vi.advanceTimersByTimeAsync(1)
  expect([connection.up, connection.returns]).toEqual([true, 1])
  expect(asking.every(({ signal }) => signal?.aborted)).toBe(true)
})

test('an appliance whose process is gone is asked every few seconds', async () => {
  const { connection } = await modules()
  let refused = 0
  vi.stubGlobal('fetch', () => {
    refused += 1
    return Promise.reject(new TypeError('refused'))
  })
  connection.lost()
  await vi.advanceTimersByTimeAsync(60_000)
  expect(refused).toBeGreaterThan(12)
  expect(refused).toBeLessThan(30)
})

test('who gives up a question of their own accuses nobody', async () => {
  const { answered, connection } = await modules()
  const own = new AbortController()
  const given = failure(answered(new Request('https://appliance/api/v1/events', { signal: own.signal })))
  own.abort()
  expect(await given).toBe('AbortError')
  expect(connection.up).toBe(true)
})
