/**
 * What is done to a configuration, as operations on the document as it is written. Each touches as little as it can, so
 * that comments and the rest of the text stay. Things are found by their names: an edit can be made anew when somebody
 * else was faster.
 */

import { t } from '../i18n/index.svelte'
import { shapeOf, items, keyOf, list, type Item, type Section } from './document'
import { apply, at, isObject, pointer, same, type Json, type JsonObject, type Operation } from './json'

/** The thing that was to be changed is gone, or another has its name. */
export class Vanished extends Error {
  constructor(readonly item: string) {
    super(t('item.gone', { name: item }))
  }
}

export type Place = { before: string } | { after: string } | 'last'

/** Puts a new item into a section. */
export function create(document: Json, section: Section, item: Item, place: Place = 'last'): Operation[] {
  const { path, ordered } = shapeOf(section)
  const operations = made(document, path, ordered ? [] : {})
  const index = ordered ? indexOf(document, section, place) : item.name
  return [...operations, { op: 'add', path: path + pointer(index), value: written(section, item) }]
}

/** Makes the item of that name what `item` says, by the fields that differ; its new name goes wherever the old one was. */
export function change(document: Json, section: Section, name: string, item: Item): Operation[] {
  const { path, ordered, content, key } = shapeOf(section)
  const index = position(document, section, name)
  const operations: Operation[] = []
  if (!ordered && item.name !== name) {
    operations.push({ op: 'move', from: path + pointer(name), path: path + pointer(item.name) })
  }
  const here = path + pointer(ordered ? index : item.name)
  const before = at(document, path + pointer(ordered ? index : name))
  const after = written(section, item)
  if (content !== undefined || !isObject(before) || !isObject(after)) {
    if (!same(list(before), list(after))) operations.push({ op: 'replace', path: here, value: after })
  } else {
    operations.push(...fields(before, after, here, shapeOf(section).lists))
  }
  if (item.name !== name && key === undefined) operations.push(...renamed(apply(document, operations), section, name, item.name))
  return operations
}

/** What a form holds that began with `begun`, where others have made it `theirs` meanwhile: what was not changed in it is theirs. */
export function merged(begun: Item, mine: Item, theirs: Item): Item {
  const names = new Set([...Object.keys(mine), ...Object.keys(theirs)])
  const kept = [...names].map((name): [string, Json | undefined] => [name, same(mine[name], begun[name]) ? theirs[name] : mine[name]])
  return Object.fromEntries(kept.filter(([, value]) => value !== undefined)) as Item
}

export function remove(document: Json, section: Section, names: readonly string[]): Operation[] {
  const { path, ordered } = shapeOf(section)
  const found = names.map((name) => (ordered ? position(document, section, name) : name))
  // From the end, so that the positions before it still hold.
  if (ordered) found.sort((a, b) => Number(b) - Number(a))
  return found.map((token) => ({ op: 'remove', path: path + pointer(token) }))
}

/** Moves items of a list to one place, where they keep the order they had. */
export function move(document: Json, section: Section, names: readonly string[], place: Place): Operation[] {
  const { path } = shapeOf(section)
  const order = items(document, section).map((item) => item.name)
  const moved = order.filter((name) => names.includes(name))
  for (const name of names) if (!order.includes(name)) throw new Vanished(name)
  const staying = order.filter((name) => !names.includes(name))
  const target = targetIn(staying, place)
  const wanted = staying.toSpliced(target, 0, ...moved)
  const operations: Operation[] = []
  const now = [...order]
  const step = (name: string) => {
    const [from, to] = [now.indexOf(name), wanted.indexOf(name)]
    if (from === to) return
    now.splice(to, 0, ...now.splice(from, 1))
    operations.push({ op: 'move', from: path + pointer(from), path: path + pointer(to) })
  }
  // Those that go up begin with the first, those that go down with the last: none passes another of them.
  const up = moved.filter((name) => order.indexOf(name) > wanted.indexOf(name))
  for (const name of moved.filter((name) => !up.includes(name)).reverse()) step(name)
  for (const name of up) step(name)
  return operations
}

/** Sets one field of several items; undefined takes it away. */
export function set(document: Json, section: Section, names: readonly string[], field: string, value: Json | undefined): Operation[] {
  const { path, ordered } = shapeOf(section)
  return names.flatMap((name) => {
    const here = path + pointer(ordered ? position(document, section, name) : name)
    const before = at(document, here)
    return isObject(before) ? fieldChange(before[field], value, here + pointer(field)) : []
  })
}

/** Fields of a section that is one thing. */
export function setSection(document: Json, name: string, values: JsonObject): Operation[] {
  const before = at(document, pointer(name))
  const path = pointer(name)
  const operations = made(document, path, {})
  for (const [field, value] of Object.entries(values)) {
    const had = isObject(before) ? before[field] : undefined
    operations.push(...fieldChange(had, isEmpty(value) ? undefined : value, path + pointer(field)))
  }
  return operations
}

function fields(before: JsonObject, after: JsonObject, path: string, lists: readonly string[]): Operation[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)])
  return [...names].flatMap((name) => {
    const [had, has] = [before[name], after[name]]
    // One value may stand for a list, and stays so.
    if (lists.includes(name) && has !== undefined && same(list(had), list(has))) return []
    return fieldChange(had, has, path + pointer(name))
  })
}

function fieldChange(before: Json | undefined, after: Json | undefined, path: string): Operation[] {
  if (same(before, after)) return []
  if (after === undefined) return [{ op: 'remove', path }]
  return [{ op: before === undefined ? 'add' : 'replace', path, value: after }]
}

/** As it goes into the document: without what is empty, and without what defaults say anyway. */
export function written(section: Section, item: Item): Json {
  const { content, ordered, key, lists } = shapeOf(section)
  const { name, ...rest } = item
  if (content !== undefined) {
    const value = list(rest[content])
    return value.length === 1 && value[0] !== undefined && !isObject(value[0]) ? value : value
  }
  const result: JsonObject = ordered && key === undefined ? { name } : {}
  for (const [field, value] of Object.entries(rest)) {
    if (value === undefined || isEmpty(value)) continue
    if (section === 'policies' && field === 'enabled' && value === true) continue
    result[field] = lists.includes(field) ? list(value) : value
  }
  return result
}

function isEmpty(value: Json | undefined): boolean {
  return value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0)
}

/** Where sections refer to each other by name: the fields of the one that hold names of the other. */
const REFERENCES: { [section: string]: [Section, string][] } = {
  interfaces: [
    ['zones', 'interfaces'],
    ['routes', 'interface']
  ],
  zones: (['policies', 'source', 'destination', 'static'] as const).flatMap((section) =>
    (section === 'policies' || section === 'source' ? ['from', 'to'] : ['from']).map((field): [Section, string] => [section, field])
  ),
  addresses: [
    ['addresses', 'addresses'],
    ['policies', 'source'],
    ['policies', 'destination'],
    ['source', 'source'],
    ['source', 'destination'],
    ['destination', 'source']
  ],
  applications: [
    ['applications', 'terms'],
    ['policies', 'application']
  ],
  schedules: [['policies', 'schedule']]
}

function renamed(document: Json, section: Section, from: string, to: string): Operation[] {
  const operations: Operation[] = []
  for (const [other, field] of REFERENCES[section] ?? []) {
    items(document, other).forEach((item, index) => {
      const shape = shapeOf(other)
      const here = shape.path + pointer(shape.ordered ? index : item.name)
      const path = shape.content === field ? here : here + pointer(field)
      const value = at(document, path)
      if (value === from) operations.push({ op: 'replace', path, value: to })
      else if (Array.isArray(value) && value.includes(from)) {
        operations.push({ op: 'replace', path, value: value.map((word) => (word === from ? to : word)) })
      }
    })
  }
  if (section === 'pools') {
    items(document, 'source').forEach((item, index) => {
      if (isObject(item['translate']) && item['translate']['pool'] === from) {
        operations.push({ op: 'replace', path: `/nat/source/${index}/translate/pool`, value: to })
      }
    })
  }
  return operations
}

function made(document: Json, path: string, empty: Json): Operation[] {
  const parts = path.split('/').slice(1)
  return parts.flatMap((_, depth): Operation[] => {
    const here = `/${parts.slice(0, depth + 1).join('/')}`
    const value = depth + 1 === parts.length ? empty : {}
    const there = at(document, here)
    return there === undefined || there === null ? [{ op: 'add', path: here, value }] : []
  })
}

export function position(document: Json, section: Section, name: string): number {
  const found = items(document, section).findIndex((item) => (keyOf(section) === 'name' ? item.name : String(item[keyOf(section)])) === name)
  if (found < 0) throw new Vanished(name)
  return found
}

function indexOf(document: Json, section: Section, place: Place): number {
  return targetIn(
    items(document, section).map((item) => item.name),
    place
  )
}

function targetIn(names: readonly string[], place: Place): number {
  if (place === 'last') return names.length
  const [anchor, after] = 'before' in place ? [place.before, 0] : [place.after, 1]
  const found = names.indexOf(anchor)
  if (found < 0) throw new Vanished(anchor)
  return found + after
}
