import { expect, test } from 'vitest'

import type { Json } from './json'
import { located } from './located'

const document: Json = {
  policies: [{ name: 'a' }, { name: 'b/c' }],
  addresses: { 'x/y': ['192.0.2.1'] },
  nat: { source: [{ name: 'out' }], pools: { public: { addresses: [] } } },
  routes: [{ to: '0.0.0.0/0' }]
}

test.each([
  ['/policies/1/from/0', { section: 'policies', name: 'b/c', field: 'from' }],
  ['/policies/7/from', { section: 'policies', name: '', field: 'from' }],
  ['/addresses/x~1y/0', { section: 'addresses', name: 'x/y', field: 'addresses' }],
  ['/nat/pools/public/ports', { section: 'pools', name: 'public', field: 'ports' }],
  ['/nat/source/0', { section: 'source', name: 'out', field: '' }],
  ['/routes/0/via', { section: 'routes', name: '0.0.0.0/0', field: 'via' }],
  ['/policies', { section: 'policies', name: '', field: '' }],
  ['/system/workers', undefined],
  ['/policiesx/0', undefined]
])('%s is found', (pointer, expected) => {
  expect(located(document, pointer)).toEqual(expected)
})
