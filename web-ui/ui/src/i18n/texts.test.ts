import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { en } from './en'
import { ja } from './ja'

const placeholders = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort()

test('every language has the same texts with the same values in them', () => {
  expect(Object.keys(ja)).toEqual(Object.keys(en))
  for (const [key, text] of Object.entries(en)) {
    expect(text.trim(), key).not.toBe('')
    expect(placeholders(ja[key as keyof typeof ja]), key).toEqual(placeholders(text))
  }
})

const sources = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((name) => /\.(svelte|ts)$/.test(name) && !name.startsWith('i18n') && !name.endsWith('.test.ts'))
  .map((name) => readFileSync(join('src', name), 'utf8'))
  .join('\n')

test('every text is used', () => {
  const prefixes = [...sources.matchAll(/\b(?:word|count)\(\s*'([\w.]+)'/g)].map(([, prefix]) => `${prefix}.`)
  const unused = Object.keys(en).filter((key) => !sources.includes(`'${key}'`) && !prefixes.some((prefix) => key.startsWith(prefix)))
  expect(unused).toEqual([])
})
