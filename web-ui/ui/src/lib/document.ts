/**
 * A configuration's document as the pages read it. As it is written, one value may stand for a list, and much may be
 * left out; here, lists are lists and everything with a name is a list of things with names.
 */

import { isObject, pointer, type Json, type JsonObject } from './json'
import { DOCUMENT, controlAt, fieldsAt, isTable } from './schema'

export interface Named {
  name: string
}

/** Sections that are maps by name, and those that are lists with an order. */
export type MapSection = 'interfaces' | 'zones' | 'addresses' | 'applications' | 'schedules' | 'feeds' | 'pools'
export type ListSection = 'policies' | 'source' | 'destination' | 'static' | 'routes'
export type KnownSection = MapSection | ListSection
/** One that no page was written for, by where it is in the document. */
export type FurtherSection = `/${string}`
export type Section = KnownSection | FurtherSection

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

const SHAPES: Record<KnownSection, Shape> = {
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

const ROOTS = new Set(Object.values(SHAPES).map(({ path }) => path.split('/')[1]))
/** Sections that are one thing, and that a page was written for. */
const SINGLES = ['system', 'management', 'events', 'countries']

/** Of the document, those that no page was written for. */
export const FURTHER: readonly string[] = DOCUMENT.map((field) => field.name).filter((name) => name !== 'version' && !ROOTS.has(name) && !SINGLES.includes(name))

/** The tables in one of those: itself, or its fields that are. */
export function tablesIn(name: string): FurtherSection[] {
  const whole = controlAt(`/${name}`)
  if (whole && isTable(whole)) return [`/${name}`]
  return fieldsAt(`/${name}`).flatMap((field): FurtherSection[] => (isTable(field.control) ? [`/${name}/${field.name}`] : []))
}

export const SECTIONS: readonly Section[] = [...(Object.keys(SHAPES) as KnownSection[]), ...FURTHER.flatMap(tablesIn)]

/** Sections that are one thing, or have fields beside their tables. */
export const WHOLES: readonly string[] = [...SINGLES, ...FURTHER.filter((name) => !SECTIONS.includes(`/${name}`))]

export function isKnown(section: Section): section is KnownSection {
  return !section.startsWith('/')
}

const further = new Map<string, Shape>()

export function shapeOf(section: Section): Shape {
  if (isKnown(section)) return SHAPES[section]
  const found = further.get(section) ?? readShape(section)
  further.set(section, found)
  return found
}

/** The only field of what is no object. */
export const CONTENT = 'content'

function readShape(path: FurtherSection): Shape {
  const control = controlAt(path)
  const of = control?.kind === 'list' || control?.kind === 'map' ? control.of : undefined
  const lists = of?.kind === 'group' ? of.fields.filter(({ control }) => control.kind === 'words' || control.kind === 'list').map((field) => field.name) : []
  return { path, ordered: control?.kind === 'list', lists, ...(of?.kind === 'group' ? {} : { content: CONTENT }) }
}

export function keyOf(section: Section): string {
  return shapeOf(section).key ?? 'name'
}

/** Where an item is in the written document. */
export function pointerOf(section: Section, item: Item, index: number): string {
  return shapeOf(section).path + pointer(shapeOf(section).ordered ? index : item.name)
}

/** The items of a section, in their order. */
export function items(document: Json, section: Section): Item[] {
  const shape = shapeOf(section)
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
  const { lists, key } = shapeOf(section)
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

/** A section that is one thing: `system`, `management`, `events`, and others that the schema has. */
export function section(document: Json, name: string): JsonObject {
  const found = isObject(document) ? document[name] : undefined
  return isObject(found) ? found : {}
}
