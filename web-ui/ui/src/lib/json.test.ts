import { expect, test } from 'vitest'

import { apply, at, pointer, same, tokens, type Json } from './json'

const document: Json = { policies: [{ name: 'a' }, { name: 'b' }, { name: 'c' }], 'x/y': { '~': 1 } }

test('operations change a copy and share the rest', () => {
  const after = apply(document, [
    { op: 'move', from: '/policies/2', path: '/policies/0' },
    { op: 'replace', path: '/policies/1/name', value: 'z' },
    { op: 'remove', path: '/policies/2' },
    { op: 'add', path: '/policies/-', value: { name: 'new' } }
  ]) as { policies: Json; 'x/y': Json }
  expect(after.policies).toEqual([{ name: 'c' }, { name: 'z' }, { name: 'new' }])
  expect(after['x/y']).toBe((document as { 'x/y': Json })['x/y'])
  expect(at(document, '/policies/0/name')).toBe('a')
})

test('pointers escape what they have to', () => {
  expect(pointer('x/y', '~')).toBe('/x~1y/~0')
  expect(tokens('/x~1y/~0')).toEqual(['x/y', '~'])
  expect(at(document, '/x~1y/~0')).toBe(1)
})

test('what is not there is an error and no silent nothing', () => {
  expect(() => apply(document, [{ op: 'remove', path: '/policies/9' }])).toThrow()
  expect(() => apply(document, [{ op: 'move', from: '/none', path: '/policies/0' }])).toThrow()
  expect(() => apply(document, [{ op: 'add', path: '/policies/9', value: 1 }])).toThrow()
})

test('values are the same whatever the order of keys', () => {
  expect(same({ a: [1, { b: null }], c: 2 }, { c: 2, a: [1, { b: null }] })).toBe(true)
  expect(same([1, 2], [2, 1])).toBe(false)
  expect(same({ a: 1 }, { a: 1, b: undefined as never })).toBe(false)
})
