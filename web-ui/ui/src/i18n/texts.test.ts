import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect, test, vi } from 'vitest'

import { en } from './en'
import type { Control, Field } from '../lib/schema'
import { descriptions, ja } from './ja'

const placeholders = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort()

test('every language has the same texts with the same values in them', () => {
  expect(Object.keys(ja)).toEqual(Object.keys(en))
  for (const [key, text] of Object.entries(en)) {
    expect(text.trim(), key).not.toBe('')
    expect(placeholders(ja[key as keyof typeof ja]), key).toEqual(placeholders(text))
  }
})

test('what the description of the API says of fields is in every language, where a form is made from it', async () => {
  // What the router looks at when it is loaded.
  vi.stubGlobal('location', { pathname: '/', search: '' })
  vi.stubGlobal('addEventListener', () => undefined)
  const [{ FURTHER, SECTIONS }, { fieldsAt, isTable }, { furtherFields }] = await Promise.all([import('../lib/document'), import('../lib/schema'), import('../pages/forms/shapes')])
  const policy = ['description', 'from', 'to', 'source', 'destination', 'application', 'action', 'log', 'schedule', 'enabled']
  const shown = [
    ...SECTIONS.flatMap((section) => furtherFields(section, section === 'policies' ? policy : undefined)),
    ...FURTHER.flatMap((name) => fieldsAt(`/${name}`).filter((field) => !isTable(field.control)))
  ]
  const hints = [...new Set(shown.flatMap(hintsOf))].filter(Boolean)
  expect(hints.length).toBeGreaterThan(20)
  expect(hints.filter((hint) => !(hint in descriptions))).toEqual([])
})

test('what a configuration can choose from has words, but for what is a name', async () => {
  const { DOCUMENT } = await import('../lib/schema')
  const options = (control: Control): string[] => {
    switch (control.kind) {
      case 'choice':
      case 'words':
        return control.options
      case 'list':
      case 'map':
        return options(control.of)
      case 'either':
        return control.of.flatMap(options)
      case 'group':
        return control.fields.flatMap((field) => options(field.control))
      default:
        return []
    }
  }
  const unsaid = new Set(DOCUMENT.flatMap((field) => options(field.control)).filter((option) => !(`option.${option}` in en)))
  expect([...unsaid].sort()).toEqual(['tc', 'xdp'])
})

/** Of a field and those in it. */
function hintsOf(field: Field): string[] {
  return [field.hint, ...within(field.control).flatMap(hintsOf)]
}

function within(control: Control): readonly Field[] {
  switch (control.kind) {
    case 'group':
      return control.fields
    case 'list':
    case 'map':
      return within(control.of)
    case 'either':
      return control.of.flatMap(within)
    case 'text':
    case 'number':
    case 'flag':
    case 'choice':
    case 'words':
    case 'json':
      return []
  }
}

const sources = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((name) => /\.(svelte|ts)$/.test(name) && !name.startsWith('i18n') && !name.endsWith('.test.ts'))
  .map((name) => readFileSync(join('src', name), 'utf8'))
  .join('\n')

test('every text is used', () => {
  const prefixes = [...sources.matchAll(/\b(?:word|count)\(\s*'([\w.]+)'/g)].map(([, prefix]) => `${prefix}.`)
  const unused = Object.keys(en).filter((key) => !sources.includes(`'${key}'`) && !prefixes.some((prefix) => key.startsWith(prefix)))
  expect(unused).toEqual([])
})
