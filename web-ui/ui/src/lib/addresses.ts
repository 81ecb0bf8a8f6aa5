/** Addresses, prefixes and ranges, as far as telling what is in what. */

import { IPv4, IPv6 } from 'ipaddr.js'

export interface Span {
  version: 4 | 6
  first: bigint
  last: bigint
}

/** `192.0.2.1`, `192.0.2.0/24`, `192.0.2.1-192.0.2.9`, and the same of IPv6; undefined for anything else. */
export function span(text: string): Span | undefined {
  const [, from = '', to] = /^([\da-f.:]+)-([\da-f.:]+)$/i.exec(text) ?? []
  if (to !== undefined) {
    const [first, last] = [address(from), address(to)]
    return first && last && first.version === last.version ? { version: first.version, first: first.value, last: last.value } : undefined
  }
  const [, written = '', length] = /^([\da-f.:]+)(?:\/(\d{1,3}))?$/i.exec(text) ?? []
  const found = address(written)
  if (!found) return undefined
  const bits = found.version === 4 ? 32 : 128
  const host = BigInt(bits - (length === undefined ? bits : Number(length)))
  if (host < 0n) return undefined
  const first = (found.value >> host) << host
  return { version: found.version, first, last: first + (1n << host) - 1n }
}

export function covers(outer: Span, inner: Span): boolean {
  return outer.version === inner.version && outer.first <= inner.first && inner.last <= outer.last
}

function address(text: string): { version: 4 | 6; value: bigint } | undefined {
  if (IPv4.isValidFourPartDecimal(text)) return { version: 4, value: number(IPv4.parse(text)) }
  return IPv6.isValid(text) ? { version: 6, value: number(IPv6.parse(text)) } : undefined
}

function number(address: IPv4 | IPv6): bigint {
  return address.toByteArray().reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
}
