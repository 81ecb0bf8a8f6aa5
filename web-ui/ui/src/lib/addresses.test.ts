import { expect, test } from 'vitest'

import { covers, span } from './addresses'

const within = (outer: string, inner: string) => {
  const [a, b] = [span(outer), span(inner)]
  return a !== undefined && b !== undefined && covers(a, b)
}

test('an address is in its prefix and its range, and in no other', () => {
  expect(within('192.0.2.0/24', '192.0.2.66')).toBe(true)
  expect(within('192.0.2.0/24', '192.0.3.0')).toBe(false)
  expect(within('0.0.0.0/0', '192.0.2.0/25')).toBe(true)
  expect(within('192.0.2.64/26', '192.0.2.0/24')).toBe(false)
  expect(within('192.0.2.10-192.0.2.70', '192.0.2.66')).toBe(true)
  expect(within('192.0.2.10-192.0.2.70', '192.0.2.71')).toBe(false)
})

test('IPv6 is told however it is written, and apart from IPv4', () => {
  expect(within('2001:db8::/32', '2001:DB8:0:0::1')).toBe(true)
  expect(within('2001:db8::/127', '2001:db8::2')).toBe(false)
  expect(within('::ffff:192.0.2.1', '::ffff:c000:201')).toBe(true)
  expect(within('::/0', '192.0.2.1')).toBe(false)
})

test('what is none of these is nothing', () => {
  for (const text of ['', 'lan', '192.0.2', '192.0.2.256', '192.0.2.0/33', '1:2:3', '1::2::3', ':::', 'fqdn:a.example', 'a-b', '1:2:3:4:5:6:7:8::', 'beef']) {
    expect(span(text), text).toBeUndefined()
  }
})
