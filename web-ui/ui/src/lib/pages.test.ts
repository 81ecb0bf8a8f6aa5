import { expect, test } from 'vitest'

import { Parts } from './pages'

test('rows are found in the part they are in', () => {
  const parts = new Parts<number>(10, 5)
  parts.take(2, [20, 21, 22], 1)
  expect([parts.item(19), parts.item(20), parts.item(22), parts.item(23)]).toEqual([undefined, 20, 22, undefined])
})

test('what is missing or old is wanted', () => {
  const parts = new Parts<number>(10, 5)
  parts.take(1, [], 100)
  expect(parts.wanted(5, 25, 50)).toEqual([0, 2])
  expect(parts.wanted(5, 25, 101)).toEqual([0, 1, 2])
  expect(parts.wanted(5, 5, 0)).toEqual([])
})

test('only so many parts are kept, those taken last', () => {
  const parts = new Parts<number>(1, 3)
  for (const number of [0, 1, 2, 0, 3]) parts.take(number, [number], 0)
  expect([0, 1, 2, 3].map((index) => parts.item(index))).toEqual([0, undefined, 2, 3])
})
