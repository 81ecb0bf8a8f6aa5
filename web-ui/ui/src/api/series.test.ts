import { beforeEach, expect, test, vi } from 'vitest'

let there: string[] = []
let asked: string[] = []

beforeEach(() => {
  vi.resetModules()
  vi.useFakeTimers({ toFake: ['performance'] })
  vi.stubGlobal('addEventListener', () => undefined)
  vi.stubGlobal('location', { origin: 'https://appliance' })
  vi.stubGlobal('Request', class extends Request {
    constructor(input: string | Request, init?: RequestInit) {
      super(typeof input === 'string' ? new URL(input, 'https://appliance') : input, init)
    }
  })
  asked = []
  vi.stubGlobal('fetch', (request: Request) => {
    const names = new URL(request.url).searchParams.getAll('name').flatMap((name) => name.split(','))
    asked.push(names.join(' '))
    const all = names.length === 0 ? there : names
    return Promise.resolve(all.every((name) => there.includes(name)) ? Response.json(all.map((name) => ({ name }))) : Response.json({ detail: 'no such series', status: 404, type: '' }, { status: 404 }))
  })
})

test('a series that is not there yet is not asked for, and looked for again after a while', async () => {
  there = ['sessions']
  const { seriesOf } = await import('./series')
  const names = async () => (await seriesOf({ name: ['sessions', 'drops'] })).map((one) => one.name)
  expect(await names()).toEqual(['sessions'])
  expect(await names()).toEqual(['sessions'])
  expect(asked).toEqual(['', 'sessions', 'sessions'])
  there = ['sessions', 'drops']
  vi.advanceTimersByTime(31_000)
  expect(await names()).toEqual(['sessions', 'drops'])
  expect(await names()).toEqual(['sessions', 'drops'])
  expect(asked.slice(3)).toEqual(['', 'sessions drops', 'sessions drops'])
})

test('an appliance that began anew is asked again for what it has', async () => {
  there = ['sessions', 'drops']
  const { seriesOf } = await import('./series')
  await seriesOf({ name: ['sessions', 'drops'] })
  there = ['sessions']
  expect((await seriesOf({ name: ['sessions', 'drops'] })).map((one) => one.name)).toEqual(['sessions'])
})
