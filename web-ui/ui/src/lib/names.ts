/** What sections and fields are called: as the catalogue has it, or else as they are written, in words. */

import { t, translated, word } from '../i18n/index.svelte'
import type { Section } from './document'
import { tokens } from './json'

/** `idle-timeout` is 'Idle timeout'. */
export function spelled(name: string): string {
  const words = name.replaceAll('-', ' ')
  return words.charAt(0).toUpperCase() + words.slice(1)
}

export function fieldName(name: string): string {
  const known = word('field', name)
  return known === name ? spelled(name) : known
}

/** What the description of the API says of a field; its words are English, unless somebody has translated them. */
export function hintOf(described: string): string {
  return translated(described).replaceAll('`', "'")
}

/** A label in the middle of a sentence; an abbreviation stays as it is. */
export function inSentence(label: string): string {
  return /^\p{Lu}\p{Ll}/u.test(label) ? label.charAt(0).toLowerCase() + label.slice(1) : label
}

/** Of one thing in it. */
export function sectionName(section: string): string {
  const name = lastOf(section)
  const known = word('section', name)
  return known === name ? spelled(name) : known
}

/** Of all that is in it. */
export function sectionsName(section: Section): string {
  const name = lastOf(section)
  const known = word('sections', name)
  return known === name ? sectionName(section) : known
}

/** In the middle of a sentence. */
export function noun(section: Section): string {
  const name = lastOf(section)
  const known = word('noun', name)
  return known === name ? name.replaceAll('-', ' ') : known
}

export function pageName(id: string): string {
  const known = word('page', id)
  return known === id ? spelled(id) : known
}

/** Two words stand for what is no zone of the configuration. */
export function zoneName(zone: string): string {
  return zone === 'host' ? t('zone.host') : zone === 'any' ? t('any') : zone
}

/** A word that the configuration has for one of a few things: with what it means, where that is not the word itself. */
export function optionName(option: string): string {
  return word('option', option)
}

/** Who made a revision, or did something: the appliance itself has a name, too. */
export function authorName(author: string, via: string): string {
  return author === 'system' && ['boot', 'signal', 'timer'].includes(via) ? word('author', author) : author
}

function lastOf(section: string): string {
  return section.startsWith('/') ? (tokens(section).at(-1) ?? section) : section
}
