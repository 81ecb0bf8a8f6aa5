/** The policies as the table shows them: what is configured, beside what has become of it. */

import type { Mistake, PolicyView } from '../../api/types'
import type { Change } from '../../lib/changes'
import { items, text, words, type Item } from '../../lib/document'
import { isObject, type Json } from '../../lib/json'
import { finder, NO_OBJECTS, type Objects } from './search'

export interface Row {
  kind: 'policy'
  /** Of this row alone, also while two have a name: until the appliance has refused that, it is shown. */
  key: string
  name: string
  /** From 1. */
  position: number
  item: Item
  from: string[]
  to: string[]
  source: string[]
  destination: string[]
  application: string[]
  /** What else it asks for: `host: example.com`. */
  further: string[]
  log: string[]
  action: string
  enabled: boolean
  /** Of the configuration in force; absent for what was never committed. */
  stats: PolicyView | undefined
  change: Change['kind'] | undefined
  /** What the check says of it: that it can never match, mostly. */
  findings: Mistake[]
  /** In force, enabled, and never hit. */
  unused: boolean
  /** The pair of zones that it is shown under; empty where it is shown once. */
  group: string
}

export interface Group {
  kind: 'group'
  from: string
  to: string
  count: number
}

export interface Filters {
  text: string
  from: string
  to: string
  action: string
  /** `disabled`, `unused`, `warned`, `changed`; empty for all. */
  state: string
}

export function rows(document: Json, stats: readonly PolicyView[], changes: readonly Change[], findings: readonly Mistake[]): Row[] {
  const statsOf = new Map(stats.map((view) => [view.name, view]))
  const changeOf = new Map(changes.filter((change) => change.section === 'policies').map((change) => [change.name, change.kind]))
  const findingsAt = new Map<number, Mistake[]>()
  for (const finding of findings) {
    const index = /^\/policies\/(\d+)(\/|$)/.exec(finding.pointer)?.[1]
    if (index !== undefined) findingsAt.set(Number(index), [...(findingsAt.get(Number(index)) ?? []), finding])
  }
  const named = new Map<string, number>()
  return items(document, 'policies').map((item, index) => {
    const before = named.get(item.name) ?? 0
    named.set(item.name, before + 1)
    const seen = statsOf.get(item.name)
    const enabled = item['enabled'] !== false
    return {
      kind: 'policy',
      // Names have no blanks.
      key: before === 0 ? item.name : `${item.name} ${before}`,
      name: item.name,
      position: index + 1,
      item,
      from: words(item['from']),
      to: words(item['to']),
      source: orAny(words(item['source'])),
      destination: orAny(words(item['destination'])),
      application: orAny(words(item['application'])),
      further: furtherConditions(item),
      log: words(item['log']),
      action: text(item['action']),
      enabled,
      stats: seen,
      change: changeOf.get(item.name),
      findings: findingsAt.get(index) ?? [],
      unused: enabled && seen !== undefined && seen.hits === 0,
      group: ''
    }
  })
}

/** Those with a column of their own, and what is no condition. */
const SHOWN = ['name', 'description', 'from', 'to', 'source', 'destination', 'application', 'action', 'log', 'schedule', 'enabled']

function furtherConditions(item: Item): string[] {
  return Object.entries(item)
    .filter(([name]) => !SHOWN.includes(name))
    .flatMap(([name, value]): [string, Json][] => (isObject(value) ? Object.entries(value) : [[name, value]]))
    .map(([name, value]) => `${name}: ${words(value).join(', ')}`)
}

function orAny(list: string[]): string[] {
  return list.length === 0 ? ['any'] : list
}

export function filtered(all: readonly Row[], filters: Filters, objects: Objects = NO_OBJECTS): Row[] {
  const sought = filters.text
    .toLowerCase()
    .split(/\s+/)
    .filter(Boolean)
    .map((word): [string, (row: Row) => boolean] => [word, finder(word, objects)])
  return all.filter(
    (row) =>
      (filters.from === '' || row.from.includes(filters.from)) &&
      (filters.to === '' || row.to.includes(filters.to)) &&
      (filters.action === '' || row.action === filters.action) &&
      inState(row, filters.state) &&
      (sought.length === 0 || matches(row, sought))
  )
}

function inState(row: Row, state: string): boolean {
  switch (state) {
    case 'disabled':
      return !row.enabled
    case 'unused':
      return row.unused
    case 'warned':
      return row.findings.length > 0
    case 'changed':
      return row.change !== undefined
    default:
      return true
  }
}

/** Each word somewhere in what the row shows, or in the objects that it names. */
function matches(row: Row, sought: readonly [string, (row: Row) => boolean][]): boolean {
  const shown = [
    row.name,
    text(row.item['description']),
    ...row.from,
    ...row.to,
    ...row.source,
    ...row.destination,
    ...row.application,
    ...row.further,
    row.action,
    text(row.item['schedule'])
  ]
    .join('\n')
    .toLowerCase()
  return sought.every(([word, holds]) => shown.includes(word) || holds(row))
}

/** By zones from and to, in the order in which they first appear; a policy of several zones is in the group of each pair. */
export function grouped(list: readonly Row[]): (Row | Group)[] {
  const groups = new Map<string, Row[]>()
  for (const row of list) {
    for (const from of row.from.length > 0 ? row.from : ['']) {
      for (const to of row.to.length > 0 ? row.to : ['']) {
        const group = `${from}\n${to}`
        const member = { ...row, key: `${row.key} ${from} ${to}`, group }
        const members = groups.get(group)
        if (members) members.push(member)
        else groups.set(group, [member])
      }
    }
  }
  return [...groups].flatMap(([key, members]): (Row | Group)[] => {
    const [from = '', to = ''] = key.split('\n')
    return [{ kind: 'group', from, to, count: members.length }, ...members]
  })
}

/** From one to the other, both of them too, whichever comes first. */
export function between(list: readonly Row[], one: Row, other: Row): Row[] {
  const place = (row: Row) => list.findIndex(({ key }) => key === row.key)
  const [a, b] = [place(one), place(other)]
  return a < 0 || b < 0 ? [other] : list.slice(Math.min(a, b), Math.max(a, b) + 1)
}

export interface Cell {
  from: string
  to: string
  permits: number
  denies: number
  rejects: number
  disabled: number
  hits: number
  /** Some of these hits may have been another pair's: a policy of several counts all of its own together. */
  shared: boolean
}

/** What the policies say about each pair of zones; `any` counts for all but the appliance itself. */
export function matrix(all: readonly Row[], zones: readonly string[]): { from: string[]; to: string[]; cells: Map<string, Cell> } {
  const ends = [...zones, 'host']
  const cells = new Map<string, Cell>()
  for (const from of ends) for (const to of ends) cells.set(`${from}\n${to}`, { from, to, permits: 0, denies: 0, rejects: 0, disabled: 0, hits: 0, shared: false })
  const meant = (words: string[]) => (words.includes('any') ? [...zones, ...(words.includes('host') ? ['host'] : [])] : words)
  for (const row of all) {
    const [sources, targets] = [meant(row.from), meant(row.to)]
    const several = sources.length * targets.length > 1
    for (const from of sources) {
      for (const to of targets) {
        const cell = cells.get(`${from}\n${to}`)
        if (!cell) continue
        if (!row.enabled) cell.disabled += 1
        else if (row.action === 'permit') cell.permits += 1
        else if (row.action === 'reject') cell.rejects += 1
        else cell.denies += 1
        cell.hits += row.stats?.hits ?? 0
        cell.shared ||= several && (row.stats?.hits ?? 0) > 0
      }
    }
  }
  return { from: ends, to: ends, cells }
}
