import { expect, test } from 'vitest'

import { ago, bits, countdown, duration, endpoint, mebibytes, percent, scaled, whole } from './format'

test('numbers have three digits and a prefix, from zero to the huge', () => {
  expect([0, 7, 999, 1000, 12_345, 999_999, 1e9, 2 ** 63].map((value) => scaled(value))).toEqual([
    '0', '7', '999', '1.00 k', '12.3 k', '1.00 M', '1.00 G', '9.22 E'
  ])
  expect(scaled(0.5)).toBe('0.50')
  expect(scaled(NaN)).toBe('–')
  expect(bits(2_679.96)).toBe('2.68 kbit/s')
  expect(mebibytes(80 * 1024 * 1024)).toBe('80.0 MiB')
  expect(whole(18_446_744_073_709_552_000)).toBe('18,446,744,073,709,552,000')
})

test('a share is in percent, and a little is not nothing', () => {
  expect([0, 0.00001, 0.0001, 0.123, 0.9996, 1].map(percent)).toEqual(['0 %', '< 0.01 %', '0.01 %', '12.3 %', '100 %', '100 %'])
})

test('times are as long as they have to be', () => {
  expect([0, 59, 61, 3600, 90_061].map((seconds) => duration(seconds))).toEqual(['0 s', '59 s', '1 min 1 s', '1 h', '1 d 1 h'])
  expect([0, 391, 90_061].map((seconds) => duration(seconds, 'ja'))).toEqual(['0 秒', '6 分 31 秒', '1 日 1 時間'])
  expect([0, 45, 723.2, 3600, -5].map(countdown)).toEqual(['0:00', '0:45', '12:04', '1:00:00', '0:00'])
  expect(ago(0, 125_000)).toBe('2 min. ago')
  expect(ago('nonsense', 0)).toBe('–')
})

test('an IPv6 address with a port is in brackets', () => {
  expect(endpoint('2001:db8::1', 80, 'tcp')).toBe('[2001:db8::1]:80')
  expect(endpoint('192.0.2.1', 80, 'udp')).toBe('192.0.2.1:80')
  expect(endpoint('192.0.2.1', 0, '47')).toBe('192.0.2.1')
  expect(endpoint('2001:db8::1', 17, 'icmpv6')).toBe('2001:db8::1 id 17')
})
