/**
 * A configuration's document as the pages read it. As it is written, one value may stand for a list, and much may be
 * left out; here, lists are lists and everything with a name is a list of things with names.
 */

import { isObject, pointer, type Json, type JsonObject } from './json'

export interface Named {
  name: string
}

/** Sections that are maps by name, and those that are lists with an order. */
export type MapSection = 'interfaces' | 'zones' | 'addresses' | 'applications' | 'schedules' | 'feeds' | 'pools'
export type ListSection = 'policies' | 'source' | 'destination' | 'static' | 'routes'
export type Section = MapSection | ListSection

export type Fields = { [field: string]: Json }
export type Item = Named & Fields

interface Shape {
  path: string
  ordered: boolean
  /** Fields in which one value may stand for a list. */
  lists: readonly string[]
  /** The only field of a map's value that is written as the value itself. */
  content?: string
  /** The field that tells one from another, where it isn't `name`. */
  key?: string
}

export const SHAPES: Record<Section, Shape> = {
  interfaces: { path: '/interfaces', ordered: false, lists: ['addresses'] },
  zones: { path: '/zones', ordered: false, lists: ['interfaces', 'host-inbound'] },
  addresses: { path: '/addresses', ordered: false, lists: ['addresses'], content: 'addresses' },
  applications: { path: '/applications', ordered: false, lists: ['terms'], content: 'terms' },
  schedules: { path: '/schedules', ordered: false, lists: ['weekly', 'dates'] },
  feeds: { path: '/feeds', ordered: false, lists: ['allow'] },
  pools: { path: '/nat/pools', ordered: false, lists: ['addresses'] },
  policies: {
    path: '/policies',
    ordered: true,
    lists: ['from', 'to', 'source', 'destination', 'application', 'log']
  },
  source: { path: '/nat/source', ordered: true, lists: ['from', 'to', 'source', 'destination'] },
  destination: { path: '/nat/destination', ordered: true, lists: ['from', 'source'] },
  static: { path: '/nat/static', ordered: true, lists: ['from'] },
  routes: { path: '/routes', ordered: true, lists: [], key: 'to' }
}

export const SECTIONS = Object.keys(SHAPES) as Section[]

export function keyOf(section: Section): string {
  return SHAPES[section].key ?? 'name'
}

/** Where an item is in the written document. */
export function pointerOf(section: Section, item: Item, index: number): string {
  return SHAPES[section].path + pointer(SHAPES[section].ordered ? index : item.name)
}

/** The items of a section, in their order. */
export function items(document: Json, section: Section): Item[] {
  const shape = SHAPES[section]
  const written = shape.path
    .split('/')
    .slice(1)
    .reduce<Json | undefined>((value, token) => (isObject(value) ? value[token] : undefined), document)
  if (shape.ordered) {
    return Array.isArray(written) ? written.filter(isObject).map((item) => read(section, item)) : []
  }
  if (!isObject(written)) return []
  return Object.entries(written).map(([name, value]) => {
    const content: JsonObject = shape.content ? { [shape.content]: value } : isObject(value) ? value : {}
    return { ...read(section, content), name }
  })
}

function read(section: Section, written: JsonObject): Item {
  const { lists, key } = SHAPES[section]
  const item: JsonObject = { ...written }
  for (const field of lists) if (field in item) item[field] = list(item[field])
  if (section === 'routes' && key) item['name'] = String(written[key] ?? '')
  return { name: '', ...item } as Item
}

export function list(value: Json | undefined): Json[] {
  if (value === undefined || value === null) return []
  return Array.isArray(value) ? value : [value]
}

/** A list of words; what is something else in it is shown as JSON. */
export function words(value: Json | undefined): string[] {
  return list(value).map(text)
}

export function text(value: Json | undefined): string {
  if (value === undefined || value === null) return ''
  return typeof value === 'string' ? value : typeof value === 'object' ? JSON.stringify(value) : String(value)
}

/** A section that is one thing: `system`, `management`, `events`. */
export function section(document: Json, name: string): JsonObject {
  const found = isObject(document) ? document[name] : undefined
  return isObject(found) ? found : {}
}
