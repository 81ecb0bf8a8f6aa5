import { expect, test, vi } from 'vitest'

test('the names of contents are those of the engine that the bundle is built with', async () => {
  const { services, protocols } = (await import('virtual:content')).default
  expect(services).toContainEqual(['wikipedia', 'Wikipedia', 'reference'])
  expect(services.length).toBeGreaterThan(200)
  expect(protocols).toContainEqual(['bittorrent', 'BitTorrent'])
})

test('what a condition on contents takes is proposed', async () => {
  vi.stubGlobal('addEventListener', () => undefined)
  vi.stubGlobal('document', { addEventListener: () => undefined })
  vi.stubGlobal('fetch', () => Promise.reject(new TypeError()))
  const { loadBuiltIn, suggested } = await import('./completion.svelte')
  await loadBuiltIn()
  await vi.waitFor(() => expect(suggested('/l7/application').map((one) => one.value)).toEqual(expect.arrayContaining(['ssh', 'youtube'])))
  for (const path of ['/l7/category', '/url-filter/categories', '/category']) expect(suggested(path).map((one) => one.value)).toContain('social')
})
