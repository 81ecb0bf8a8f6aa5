/** From a place in the configuration's document to the page and the field that edit it. */

import type { Section } from './document'
import type { Json } from './json'
import { located } from './located'
import { href } from './router.svelte'

/** Which page edits a section. */
export const PAGES: Record<Section, string> = {
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

/** The editor of one thing, and perhaps a field of it. */
export function itemHref(section: Section, name: string, field = ''): string {
  const alone = Object.values(PAGES).filter((page) => page === PAGES[section]).length === 1
  return href(PAGES[section], '', { section: alone ? '' : section, edit: name, field })
}

/** The editor of what a pointer is about; the text as a whole where no form has it. */
export function pointerHref(document: Json, pointer: string, line = 0): string {
  const found = located(document, pointer)
  if (!found || found.name === '') return href('configuration', '', { line: line || '' })
  return itemHref(found.section, found.name, found.field)
}
