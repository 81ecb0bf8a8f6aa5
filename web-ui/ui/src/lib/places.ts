/** What a place in the configuration's document is called, for people. */

import { word } from '../i18n/index.svelte'
import { shapeOf } from './document'
import { tokens, type Json } from './json'
import { located } from './located'
import { fieldName, sectionName, sectionsName } from './names'

/** Of `/policies/6/source/0`: `Policy › web-out › Source`. */
export function placeName(document: Json, pointer: string): string {
  const found = located(document, pointer)
  if (found) {
    // What stands for the value itself has no name of its own there.
    const field = found.field === shapeOf(found.section).content ? '' : found.field
    return [found.name ? sectionName(found.section) : sectionsName(found.section), found.name, field && named(field)].filter(Boolean).join(' › ')
  }
  const [section, field] = tokens(pointer)
  return section === undefined ? '/' : [sectionName(section), field && named(field)].filter(Boolean).join(' › ')
}

/** Fields have names of their own in policies, and rules of NAT ask the same. */
function named(field: string): string {
  const known = word('policy', field)
  return known === field ? fieldName(field) : known
}
