import { describe, expect, test } from 'vitest'

import { changes } from './changes'
import { items, type Item } from './document'
import { change, create, merged, move, remove, set, setSection, Vanished } from './edits'
import { apply, type Json } from './json'

const document: Json = {
  zones: { trust: { interfaces: 'left' }, untrust: { interfaces: ['right'] } },
  addresses: { lan: '192.0.2.0/24', all: ['lan', '2001:db8::/32'] },
  policies: ['a', 'b', 'c', 'd', 'e'].map((name) => ({ name, from: 'trust', to: 'untrust', source: ['lan'], action: 'permit' })),
  nat: { source: [{ name: 'internet', from: 'trust', to: 'untrust', source: 'lan', translate: { pool: 'public' } }], pools: { public: { addresses: '198.51.100.9' } } }
}

const order = (after: Json) => items(after, 'policies').map((item) => item.name).join('')
const policy = (name: string) => items(document, 'policies').find((item) => item.name === name) as Item

test('of two who change one thing, each has changed what they changed', () => {
  const begun = { name: 'a', from: ['trust'], log: ['start'], description: 'old', schedule: 'office' }
  const mine = { name: 'a', from: ['trust'], log: ['start'], description: 'mine' }
  const theirs = { name: 'a', from: ['trust'], log: ['end'], description: 'theirs', schedule: 'office', l7: { risk: 3 } }
  expect(merged(begun, mine, theirs)).toEqual({ name: 'a', from: ['trust'], log: ['end'], description: 'mine', l7: { risk: 3 } })
})

describe('moving', () => {
  test.each([
    [['a'], { after: 'c' }, 'bcade'],
    [['e'], { before: 'a' }, 'eabcd'],
    [['b', 'd'], { before: 'a' }, 'bdace'],
    [['d', 'b'], { after: 'e' }, 'acebd'],
    [['a', 'e'], { after: 'c' }, 'bcaed'],
    [['a', 'c', 'e'], { before: 'd' }, 'baced'],
    [['c'], 'last', 'abdec'],
    [['b'], { before: 'c' }, 'abcde']
  ] as const)('%j to %j gives %s', (names, place, expected) => {
    expect(order(apply(document, move(document, 'policies', [...names], place)))).toBe(expected)
  })

  test('what is in place already is not touched', () => {
    expect(move(document, 'policies', ['b'], { before: 'c' })).toEqual([])
  })

  test('any move of any set gives the order that was asked for', () => {
    const names = ['a', 'b', 'c', 'd', 'e']
    for (let mask = 1; mask < 31; mask += 1) {
      const moved = names.filter((_, bit) => mask & (1 << bit))
      const staying = names.filter((name) => !moved.includes(name))
      for (const anchor of staying) {
        const at = staying.indexOf(anchor)
        expect(order(apply(document, move(document, 'policies', moved, { before: anchor })))).toBe(staying.toSpliced(at, 0, ...moved).join(''))
        expect(order(apply(document, move(document, 'policies', moved, { after: anchor })))).toBe(staying.toSpliced(at + 1, 0, ...moved).join(''))
      }
    }
  })

  test('an anchor that is gone is said to be', () => {
    expect(() => move(document, 'policies', ['a'], { before: 'x' })).toThrow(Vanished)
    expect(() => move(document, 'policies', ['x'], { before: 'a' })).toThrow(Vanished)
  })
})

describe('changing', () => {
  test('touches only the fields that differ, and keeps one word for a list', () => {
    const after = { ...policy('b'), action: 'deny', log: ['start'], enabled: true }
    expect(change(document, 'policies', 'b', after)).toEqual([
      { op: 'replace', path: '/policies/1/action', value: 'deny' },
      { op: 'add', path: '/policies/1/log', value: ['start'] }
    ])
  })

  test('what becomes empty goes away', () => {
    expect(change(document, 'policies', 'b', { ...policy('b'), source: [] })).toEqual([{ op: 'remove', path: '/policies/1/source' }])
  })

  test('a new name goes wherever the old one was', () => {
    const after = apply(document, change(document, 'addresses', 'lan', { name: 'office', addresses: ['192.0.2.0/24'] }))
    expect(items(after, 'addresses').find((item) => item.name === 'all')?.['addresses']).toEqual(['office', '2001:db8::/32'])
    expect(items(after, 'policies').every((item) => JSON.stringify(item['source']) === '["office"]')).toBe(true)
    expect(items(after, 'source')[0]?.['source']).toEqual(['office'])
    expect(JSON.stringify(after)).not.toContain('lan')
  })

  test('a renamed pool and a renamed zone are found where they are used', () => {
    const pool = apply(document, change(document, 'pools', 'public', { name: 'outside', addresses: ['198.51.100.9'] }))
    expect(items(pool, 'source')[0]?.['translate']).toEqual({ pool: 'outside' })
    const zone = apply(document, change(document, 'zones', 'trust', { name: 'office', interfaces: ['left'] }))
    expect(items(zone, 'policies')[0]?.['from']).toEqual(['office'])
    expect(items(zone, 'source')[0]?.['from']).toEqual(['office'])
  })
})

describe('adding and removing', () => {
  test('a section that is not there is made', () => {
    const operations = create({ version: 1 }, 'static', { name: 'mail', from: ['untrust'], outside: '198.51.100.20', inside: '192.0.2.20' })
    const after = apply({ version: 1 }, operations)
    expect(items(after, 'static')).toEqual([{ name: 'mail', from: ['untrust'], outside: '198.51.100.20', inside: '192.0.2.20' }])
  })

  test('a policy goes where it is wanted', () => {
    const fresh = { name: 'x', from: ['trust'], to: ['untrust'], action: 'deny' }
    expect(order(apply(document, create(document, 'policies', fresh, { before: 'c' })))).toBe('abxcde')
    expect(order(apply(document, create(document, 'policies', fresh)))).toBe('abcdex')
  })

  test('several are removed, whatever their order', () => {
    expect(order(apply(document, remove(document, 'policies', ['b', 'e', 'a'])))).toBe('cd')
  })

  test('several are switched at once, and those that are so already are left', () => {
    const off = apply(document, set(document, 'policies', ['a', 'c'], 'enabled', false))
    expect(items(off, 'policies').map((item) => item['enabled'])).toEqual([false, undefined, false, undefined, undefined])
    expect(set(off, 'policies', ['a'], 'enabled', false)).toEqual([])
    expect(apply(off, set(off, 'policies', ['a', 'c'], 'enabled', undefined))).toEqual(document)
  })

  test('fields of a section that is one thing', () => {
    const after = apply(document, setSection(document, 'system', { 'host-name': 'edge-2', workers: '' }))
    expect((after as { system: Json }).system).toEqual({ 'host-name': 'edge-2' })
  })
})

describe('what has been changed', () => {
  test('is said thing by thing', () => {
    const after = apply(document, [
      ...set(document, 'policies', ['b'], 'action', 'deny'),
      ...create(document, 'addresses', { name: 'new', addresses: ['192.0.2.9'] })
    ])
    expect(changes(document, apply(after, remove(after, 'policies', ['e'])))).toEqual([
      { section: 'addresses', name: 'new', kind: 'added', fields: [] },
      { section: 'policies', name: 'b', kind: 'changed', fields: ['action'] },
      { section: 'policies', name: 'e', kind: 'removed', fields: [] }
    ])
  })

  test('of a move, names only what moved', () => {
    const after = apply(document, move(document, 'policies', ['e'], { before: 'a' }))
    expect(changes(document, after)).toEqual([{ section: 'policies', name: 'e', kind: 'moved', fields: [] }])
  })

  test('one word for a list is no change', () => {
    const after = apply(document, [{ op: 'replace', path: '/zones/trust/interfaces', value: ['left'] }])
    expect(changes(document, after)).toEqual([])
  })
})
