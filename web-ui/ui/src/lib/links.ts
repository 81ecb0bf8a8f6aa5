/** From a place in the configuration's document to the page and the field that edit it. */

import { SECTIONS, SHAPES, items, type Section } from './document'
import { tokens, type Json } from './json'
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

export interface Located {
  section: Section
  name: string
  field: string
}

/** What a pointer (RFC 6901) into the document is about. */
export function located(document: Json, pointer: string): Located | undefined {
  const section = SECTIONS.find((name) => pointer === SHAPES[name].path || pointer.startsWith(`${SHAPES[name].path}/`))
  if (!section) return undefined
  const [token, field = ''] = tokens(pointer.slice(SHAPES[section].path.length))
  if (token === undefined) return { section, name: '', field: '' }
  const name = SHAPES[section].ordered ? (items(document, section)[Number(token)]?.name ?? '') : token
  return { section, name, field: SHAPES[section].content ? '' : field }
}

export function itemHref(section: Section, name: string): string {
  return href(PAGES[section], '', { section: section === 'policies' || section === 'interfaces' || section === 'zones' || section === 'routes' ? '' : section, edit: name })
}

/** The editor of what a pointer is about; the text as a whole where no form has it. */
export function pointerHref(document: Json, pointer: string, line = 0): string {
  const found = located(document, pointer)
  if (!found || found.name === '') return href('configuration', '', { line: line || '' })
  return itemHref(found.section, found.name)
}
