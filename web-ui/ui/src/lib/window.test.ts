import { expect, test } from 'vitest'

import { reveal, visible } from './window'

test('a million rows cost as many as are seen', () => {
  const { first, end, above, below } = visible(15_000_000, 600, 30, 1_000_000)
  expect(end - first).toBeLessThan(50)
  expect(first * 30).toBe(above)
  expect(above + (end - first) * 30 + below).toBe(30_000_000)
})

test('an empty and a short list are whole', () => {
  expect(visible(0, 600, 30, 0)).toEqual({ first: 0, end: 0, above: 0, below: 0 })
  expect(visible(0, 600, 30, 3)).toEqual({ first: 0, end: 3, above: 0, below: 0 })
  // It was longer when it was scrolled.
  expect(visible(9_000, 600, 30, 3)).toMatchObject({ first: 3, end: 3 })
})

test('a row is brought into view, and one that is there stays', () => {
  expect(reveal(0, 500, 300, 30, 30)).toBe(0)
  expect(reveal(100, 0, 300, 30, 30)).toBe(100 * 30 + 60 - 300)
  expect(reveal(20, 500, 300, 30, 30)).toBe(500)
})
