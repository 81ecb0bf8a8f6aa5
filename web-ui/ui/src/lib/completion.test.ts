import { expect, test, vi } from 'vitest'

const SERVICES = [
  { name: 'ssh', title: 'SSH' },
  { name: 'youtube', title: 'YouTube', category: 'video', risk: 2 }
]

test('what a condition on contents takes is proposed', async () => {
  vi.stubGlobal('addEventListener', () => undefined)
  vi.stubGlobal('document', { addEventListener: () => undefined })
  vi.stubGlobal('location', { origin: 'https://appliance' })
  vi.stubGlobal('Request', class extends Request {
    constructor(input: string | Request, init?: RequestInit) {
      super(typeof input === 'string' ? new URL(input, 'https://appliance') : input, init)
    }
  })
  vi.stubGlobal('fetch', ({ url }: Request) => Promise.resolve(Response.json(url.endsWith('/services') ? SERVICES : [])))
  const { loadBuiltIn, suggested } = await import('./completion.svelte')
  await loadBuiltIn()
  expect(suggested('/l7/application')).toEqual([
    { value: 'ssh', note: 'SSH' },
    { value: 'youtube', note: 'YouTube · video' }
  ])
  for (const path of ['/l7/category', '/url-filter/categories', '/category']) expect(suggested(path)).toEqual([{ value: 'video', note: 'YouTube' }])
})
