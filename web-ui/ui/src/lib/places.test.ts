import { expect, test } from 'vitest'

import type { Json } from './json'
import { placeName } from './places'

const document: Json = { policies: [{ name: 'web-out' }], addresses: { lan: ['192.0.2.0/24'] }, nat: { source: [{ name: 'out' }] } }

test('a place is told by names', () => {
  expect(placeName(document, '/policies/0/source/1')).toBe('Policy › web-out › Source')
  expect(placeName(document, '/policies/0')).toBe('Policy › web-out')
  expect(placeName(document, '/addresses/lan/0')).toBe('Address › lan')
  expect(placeName(document, '/nat/source/0/translate')).toBe('Source NAT › out › Translate')
  expect(placeName(document, '/system/host-name')).toBe('System › Host name')
  expect(placeName(document, '')).toBe('/')
})
