import { expect, test } from 'vitest'

import { reveal, visible } from './window'

test('a hundred thousand rows cost as many as are seen', () => {
  const { first, end, above, below } = visible(1_500_000, 600, 30, 100_000)
  expect(end - first).toBeLessThan(50)
  expect(first * 30).toBe(above)
  expect(above + (end - first) * 30 + below).toBe(3_000_000)
})

test('a million rows fit into what a browser can scroll, from the first to the last', () => {
  const most = 15_000_000
  expect(visible(0, 600, 30, 1_000_000)).toMatchObject({ first: 0, above: 0 })
  const last = visible(most - 600, 600, 30, 1_000_000)
  expect(last.end).toBe(1_000_000)
  for (const scrolled of [0, 1, 4_321_987, most / 2, most - 600]) {
    const { first, end, above, below } = visible(scrolled, 600, 30, 1_000_000)
    // What is drawn covers what is seen.
    expect(above).toBeLessThanOrEqual(scrolled)
    expect(above + (end - first) * 30).toBeGreaterThanOrEqual(Math.min(scrolled + 600, most) - 1)
    expect(above + (end - first) * 30 + below).toBeLessThanOrEqual(most + 400)
  }
  const at = reveal(777_777, 0, 600, 30, 30, 1_000_000)
  const seen = visible(at, 600, 30, 1_000_000)
  expect(seen.first).toBeLessThan(777_777)
  expect(seen.end).toBeGreaterThan(777_777)
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
