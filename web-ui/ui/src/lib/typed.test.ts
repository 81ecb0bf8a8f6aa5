import { expect, test } from 'vitest'

import { moment } from './format'
import { byteCount, instant } from './typed'

test('a time is taken as it is shown, in the same zone', () => {
  for (const text of ['2026-11-27 23:35:07', '2026-03-01 00:00:00']) expect(moment(instant(text))).toBe(text)
  expect(moment(instant('2026-11-27 23:35'))).toBe('2026-11-27 23:35:00')
  expect(moment(instant('2026-11-27T23:35'))).toBe('2026-11-27 23:35:00')
  expect(moment(instant('2026-11-27'))).toBe('2026-11-27 00:00:00')
})

test('what is no such time is left to the appliance', () => {
  for (const text of ['1h', '7d', '2026-11-27T23:35:00Z', '2026-13-01 00:00', 'yesterday']) expect(instant(text)).toBe(text)
})

test('an amount of bytes may have a prefix', () => {
  expect(['1000000', '1MB', '1 M', '1.5k', '2GiB', '4 kib'].map(byteCount)).toEqual(['1000000', '1000000', '1000000', '1500', '2147483648', '4096'])
  expect(['', 'much', '1ib', '-1'].map(byteCount)).toEqual(['', 'much', '1ib', '-1'])
})
