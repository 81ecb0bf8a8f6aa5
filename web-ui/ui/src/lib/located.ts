/** What a pointer into the configuration's document is about. */

import { SECTIONS, items, shapeOf, type Section } from './document'
import { tokens, type Json } from './json'

export interface Located {
  section: Section
  name: string
  field: string
}

/** What a pointer (RFC 6901) into the document is about. */
export function located(document: Json, pointer: string): Located | undefined {
  const section = SECTIONS.find((name) => pointer === shapeOf(name).path || pointer.startsWith(`${shapeOf(name).path}/`))
  if (!section) return undefined
  const [token, field = ''] = tokens(pointer.slice(shapeOf(section).path.length))
  if (token === undefined || token === '') return { section, name: '', field: '' }
  const name = shapeOf(section).ordered ? (items(document, section)[Number(token)]?.name ?? '') : token
  return { section, name, field: shapeOf(section).content ?? field }
}
