/** From a place in the configuration's document to the page and the field that edit it. */

import { WHOLES, isKnown, items, type KnownSection, type Section } from './document'
import { tokens, type Json } from './json'
import { located } from './located'
import { href } from './router.svelte'

/** Which page edits a section. */
const PAGES: Record<KnownSection, string> = {
  policies: 'policies',
  source: 'nat',
  destination: 'nat',
  static: 'nat',
  pools: 'nat',
  interfaces: 'interfaces',
  zones: 'zones',
  routes: 'routes',
  addresses: 'objects',
  applications: 'objects',
  schedules: 'objects',
  feeds: 'objects'
}

/** On one page. */
const SYSTEM = ['system', 'management', 'events', 'countries']

export function pageOf(section: Section): string {
  return isKnown(section) ? PAGES[section] : (tokens(section)[0] ?? '')
}

/** The editor of one thing, and perhaps a field of it. */
export function itemHref(section: Section, name: string, field = ''): string {
  const alone = isKnown(section) && Object.values(PAGES).filter((page) => page === PAGES[section]).length === 1
  return href(pageOf(section), '', { section: alone ? '' : section, edit: name, field })
}

/** As the API names who uses an object, such as `nat source internet`: what that is, and its editor. */
const USERS: Record<string, KnownSection> = {
  policy: 'policies',
  address: 'addresses',
  application: 'applications',
  zone: 'zones',
  'nat source': 'source',
  'nat destination': 'destination'
}

/** Undefined for one that this does not know. */
export function userOf(named: string): { section: Section; name: string } | undefined {
  // Names have no blanks.
  const [, kind = '', name = ''] = /^(.+) (\S+)$/.exec(named) ?? []
  const section = USERS[kind]
  return section === undefined ? undefined : { section, name }
}

/** A rule of NAT that translated one end: one that does so both ways has a section of its own. */
export function natHref(document: Json, end: 'source' | 'destination', rule: string): string {
  return itemHref(items(document, end).some((one) => one.name === rule) ? end : 'static', rule)
}

/** The form of a section that is one thing, and perhaps a field of it. */
export function wholeHref(name: string, field = ''): string {
  return href(SYSTEM.includes(name) ? 'system' : name, '', { field: field && `${name}.${field}` })
}

/** The editor of what a pointer is about; the text as a whole where no form has it. */
export function pointerHref(document: Json, pointer: string, line = 0): string {
  const found = located(document, pointer)
  if (found && found.name !== '') return itemHref(found.section, found.name, found.field)
  const [whole = '', field = ''] = tokens(pointer)
  if (!found && WHOLES.includes(whole)) return wholeHref(whole, field)
  return href('configuration', '', { line: line || '' })
}
