/** Addresses, prefixes and ranges, as far as telling what is in what. */

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
  if (!text.includes(':')) {
    const value = dotted(text)
    return value === undefined ? undefined : { version: 4, value }
  }
  const [head = '', tail, ...more] = text.split('::')
  if (more.length > 0) return undefined
  const [before, after] = [groups(head), groups(tail ?? '')]
  if (!before || !after) return undefined
  const missing = 8 - before.length - after.length
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined
  const all = [...before, ...Array<bigint>(missing).fill(0n), ...after]
  return { version: 6, value: all.reduce((sum, group) => (sum << 16n) | group, 0n) }
}

/** Of IPv6, the last two perhaps as IPv4 has them. */
function groups(text: string): bigint[] | undefined {
  if (text === '') return []
  const parts = text.split(':')
  const last = parts.at(-1) ?? ''
  const mapped = last.includes('.') ? dotted(last) : undefined
  const plain = last.includes('.') ? parts.slice(0, -1) : parts
  if ((last.includes('.') && mapped === undefined) || !plain.every((part) => /^[\da-f]{1,4}$/i.test(part))) return undefined
  return [...plain.map((part) => BigInt(`0x${part}`)), ...(mapped === undefined ? [] : [mapped >> 16n, mapped & 0xffffn])]
}

function dotted(text: string): bigint | undefined {
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return undefined
  const bytes = text.split('.').map(Number)
  return bytes.every((byte) => byte < 256) ? bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n) : undefined
}
