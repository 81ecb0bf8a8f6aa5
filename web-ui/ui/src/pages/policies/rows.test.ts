import { expect, test } from 'vitest'

import type { PolicyView } from '../../api/types'
import type { Json } from '../../lib/json'
import { between, filtered, grouped, matrix, rows, type Row } from './rows'

const document: Json = {
  policies: [
    { name: 'web', from: 'trust', to: ['untrust'], application: ['http', 'https'], action: 'permit', description: 'Pages & <b>more</b>' },
    { name: 'mail', from: 'any', to: 'untrust', source: 'lan', action: 'reject', enabled: false },
    { name: 'ssh-in', from: ['untrust', 'dmz'], to: 'host', application: 'ssh', l7: { host: ['example.com', 'example.net'], risk: 3 }, action: 'deny' }
  ]
}
const stats = [
  { name: 'web', hits: 4, sessions: 1 },
  { name: 'ssh-in', hits: 0, sessions: 0 }
] as PolicyView[]
const finding = { severity: 'warning', pointer: '/policies/2/name', line: 9, column: 1, message: "policy 'ssh-in' can never match" }
const all = rows(document, stats, [{ section: 'policies', name: 'mail', kind: 'moved', fields: [] }], [finding])
const none = { text: '', from: '', to: '', action: '', state: '' }
const names = (filters: Partial<typeof none>) => filtered(all, { ...none, ...filters }).map((row) => row.name)

test('a row joins what is configured with what has become of it', () => {
  expect(all.map((row) => [row.position, row.enabled, row.unused, row.change, row.findings.length])).toEqual([
    [1, true, false, undefined, 0],
    [2, false, false, 'moved', 0],
    [3, true, true, undefined, 1]
  ])
  expect(all[0]?.source).toEqual(['any'])
  expect(all.map((row) => row.further)).toEqual([[], [], ['host: example.com, example.net', 'risk: 3']])
})

test('two rows are told apart while both have one name', () => {
  const twice = rows({ policies: [{ name: 'web' }, { name: 'mail' }, { name: 'web' }] }, [], [], [])
  expect(new Set(twice.map((row) => row.key)).size).toBe(3)
})

test('every word of a search is somewhere in the row', () => {
  expect(names({ text: 'HTTPS trust' })).toEqual(['web'])
  expect(names({ text: '<b>more' })).toEqual(['web'])
  expect(names({ text: 'lan reject' })).toEqual(['mail'])
  expect(names({ text: 'lan permit' })).toEqual([])
  expect(names({ text: 'example.net' })).toEqual(['ssh-in'])
})

test('filters narrow each other', () => {
  expect(names({ to: 'untrust' })).toEqual(['web', 'mail'])
  expect(names({ to: 'untrust', action: 'reject' })).toEqual(['mail'])
  expect(['disabled', 'unused', 'warned', 'changed'].map((state) => names({ state }))).toEqual([['mail'], ['ssh-in'], ['ssh-in'], ['mail']])
})

test('groups keep the order within them', () => {
  expect(grouped(all).map((row) => (row.kind === 'group' ? `${row.from} → ${row.to}` : row.name))).toEqual([
    'trust → untrust', 'web', 'any → untrust', 'mail', 'untrust → host', 'ssh-in', 'dmz → host', 'ssh-in'
  ])
  expect(new Set(grouped(all).map((row) => (row.kind === 'policy' ? row.key : ''))).size).toBe(5)
})

test('in the matrix, any is every zone but the appliance itself', () => {
  const { cells } = matrix(all, ['trust', 'untrust', 'dmz'])
  expect(cells.get('trust\nuntrust')).toMatchObject({ permits: 1, disabled: 1, hits: 4, shared: false })
  expect(cells.get('dmz\nhost')).toMatchObject({ denies: 1 })
  expect(cells.get('host\nuntrust')).toMatchObject({ disabled: 0 })
})

test('marks go from one row to another, both with them', () => {
  const [a, b, c, d] = rows({ policies: ['a', 'b', 'c', 'd'].map((name) => ({ name })) }, [], [], [])
  if (!a || !b || !c || !d) throw new Error('four rows')
  const marked = (list: Row[], one: Row, other: Row) => between(list, one, other).map((row) => row.name)
  expect(marked([a, b, c, d], b, c)).toEqual(['b', 'c'])
  expect(marked([a, b, c, d], d, b)).toEqual(['b', 'c', 'd'])
  expect(marked([a, b], c, b)).toEqual(['b'])
})

test('hits of a policy of several zones are at most those of each pair', () => {
  const twofold = rows({ policies: [{ name: 'web', from: 'trust', to: ['untrust', 'dmz'], action: 'permit' }] }, stats, [], [])
  expect(matrix(twofold, ['trust', 'untrust', 'dmz']).cells.get('trust\ndmz')).toMatchObject({ hits: 4, shared: true })
})
