/** What differs between two configurations, thing by thing: what a person would say has been changed. */

import { SECTIONS, WHOLES, items, shapeOf, tablesIn, type Item, type Section } from './document'
import { isObject, same, type Json } from './json'

export interface Change {
  /** One of things with names, or by its name one that is one thing. */
  section: Section | (string & {})
  /** Empty for a section that is one thing. */
  name: string
  kind: 'added' | 'removed' | 'changed' | 'moved'
  /** Of what was changed: which fields. */
  fields: string[]
}

export function changes(before: Json, after: Json): Change[] {
  const found: Change[] = []
  for (const section of SECTIONS) found.push(...inSection(section, items(before, section), items(after, section)))
  for (const section of WHOLES) {
    const [had, has] = [of(before, section), of(after, section)]
    const tables: readonly string[] = tablesIn(section)
    const fields = differing(had, has).filter((field) => !tables.includes(`/${section}/${field}`))
    if (fields.length > 0) found.push({ section, name: '', kind: 'changed', fields })
  }
  return found
}

function inSection(section: Section, before: Item[], after: Item[]): Change[] {
  const [had, has] = [byName(before), byName(after)]
  const found: Change[] = []
  const moved = movedNames(
    before.map((item) => item.name).filter((name) => has.has(name)),
    after.map((item) => item.name).filter((name) => had.has(name)),
    section
  )
  for (const item of after) {
    const old = had.get(item.name)
    if (!old) {
      found.push({ section, name: item.name, kind: 'added', fields: [] })
      continue
    }
    const fields = differing(old, item)
    if (fields.length > 0) found.push({ section, name: item.name, kind: 'changed', fields })
    else if (moved.has(item.name)) found.push({ section, name: item.name, kind: 'moved', fields: [] })
  }
  for (const item of before) if (!has.has(item.name)) found.push({ section, name: item.name, kind: 'removed', fields: [] })
  return found
}

/** The fewest names whose moving makes the one order the other: all but a longest common subsequence. */
function movedNames(before: string[], after: string[], section: Section): Set<string> {
  if (!shapeOf(section).ordered || section === 'routes') return new Set()
  const ranks = new Map(before.map((name, index) => [name, index]))
  // The longest rising sequence of ranks, by patience.
  const tails: number[] = []
  const tailAt: number[] = []
  const previous: number[] = []
  after.forEach((name, index) => {
    const rank = ranks.get(name) ?? 0
    let [low, high] = [0, tails.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((tails[middle] ?? 0) < rank) low = middle + 1
      else high = middle
    }
    tails[low] = rank
    tailAt[low] = index
    previous[index] = low > 0 ? (tailAt[low - 1] ?? -1) : -1
  })
  const staying = new Set<number>()
  for (let index = tailAt[tails.length - 1] ?? -1; index >= 0; index = previous[index] ?? -1) staying.add(index)
  return new Set(after.filter((_, index) => !staying.has(index)))
}

function byName(list: Item[]): Map<string, Item> {
  return new Map(list.map((item) => [item.name, item]))
}

function differing(before: Json | undefined, after: Json | undefined): string[] {
  const [a, b] = [isObject(before) ? before : {}, isObject(after) ? after : {}]
  const names = new Set([...Object.keys(a), ...Object.keys(b)])
  return [...names].filter((name) => !same(a[name], b[name]))
}

function of(document: Json, section: string): Json | undefined {
  return isObject(document) ? document[section] : undefined
}
