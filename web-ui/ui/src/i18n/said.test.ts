import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { translator } from './said'
import { api } from './said/api'
import { configuration } from './said/configuration'
import { sentences } from './said/ja'

describe('a translator', () => {
  test('puts values where another language has them', () => {
    const say = translator({ "'{name}' is in '{place}'": '「{place}」に「{name}」があります' })
    expect(say("'a' is in 'b c'")).toBe('「b c」に「a」があります')
    expect(say("'a' is not in 'b'")).toBeUndefined()
  })

  test('looks up only what the appliance has put in of its own words', () => {
    const say = translator({ "{=what} '{name}'": '{=what}「{name}」', zone: 'ゾーン' })
    expect(say("zone 'zone'")).toBe('ゾーン「zone」')
    expect(say("street 'zone'")).toBe('street「zone」')
  })

  test('takes the sentence that says most', () => {
    const say = translator({ '{problem}, or all': '{problem} か all', "'{text}' is no size, or all": '「{text}」はサイズではない' })
    expect(say("'x' is no size, or all")).toBe('「x」はサイズではない')
  })

  test('takes values for text, whatever is in them', () => {
    const say = translator({ "no zone is named '{name}'": '「{name}」というゾーンはない', '{a}: {=b}': '{b}: {a}' })
    expect(say("no zone is named '$& {name} (.*)\n'")).toBe('「$& {name} (.*)\n」というゾーンはない')
    expect(say('x: '.repeat(600))).toBeDefined()
    expect(say('x'.repeat(3_000))).toBeUndefined()
  })
})

const places = (text: string) => [...text.matchAll(/\{=?(\w+)\}/g)].map(([place]) => place.replace('=', '')).sort()

test('a translation has the values that the sentence has, each once', () => {
  for (const [sentence, spoken] of Object.entries(sentences)) {
    expect(places(spoken), sentence).toEqual(places(sentence))
    expect(new Set(places(sentence)).size, sentence).toBe(places(sentence).length)
  }
})

const anonymous = (sentence: string) => sentence.replace(/\{[^}]*\}/g, '{}')

/** What no client of the API sees so: it is put into other sentences, or ends a start. */
const NOT_SHOWN = ['reported', '{}, or {}', "'{}' is not known here", "the key '{}'{}", 'cannot read {}: {}', 'a file of a directory has its sections on lines of their own', '{}, line {}, has another version', "no address of the packet's family to translate to", 'every port that was tried is in use']

test('what is found in a configuration is in every language', () => {
  const found = ['firewall/src/config', 'rules/src', 'nat/src']
    .flatMap(literals)
    .filter(({ before }) => /(?:error|warning|error_with_suggestion)\(\s*[\w.]+,\s*(?:format!\(\s*)?$|let message = (?:format!\(\s*)?$|#\[error\(\s*$/.test(before))
    .map(({ text }) => anonymous(text))
    .filter((sentence) => /\w/.test(sentence) && !NOT_SHOWN.includes(sentence))
  const known = new Set(Object.keys(sentences).map(anonymous))
  expect(found.length).toBeGreaterThan(100)
  expect(found.filter((sentence) => !known.has(sentence))).toEqual([])
})

test('no sentence is translated that the appliance does not say any more', () => {
  const all = new Set(['firewall', 'rules', 'nat', 'web-ui/src'].flatMap(literals).map(({ text }) => anonymous(text)))
  expect(Object.keys({ ...api, ...configuration }).filter((sentence) => !all.has(anonymous(sentence)))).toEqual([])
})

/** The string literals of all Rust sources in a folder of the repository but those of tests, with what stands before each. */
function literals(folder: string): { text: string; before: string }[] {
  const root = join('../..', folder)
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.rs') && !/(^|\/)(tests?|benches)(\/|\.rs)/.test(name))
    .flatMap((name) => {
      const source = readFileSync(join(root, name), 'utf8').replace(/#\[cfg\(test\)\]\s*mod \w+ \{[^]*/, '')
      return [...source.matchAll(/\/\/[^\n]*|r(#+)"[^]*?"\1|"((?:\\[^]|[^"\\])*)"|'(?:\\.[^']*|[^'\\])'/g)].flatMap(({ 2: text, index }) =>
        text === undefined ? [] : [{ text: unescaped(text), before: source.slice(Math.max(0, index - 100), index) }]
      )
    })
}

function unescaped(text: string): string {
  return text.replace(/\\\n\s*/g, '').replace(/\\n/g, '\n').replace(/\\(["'\\])/g, '$1').replace(/([{}])\1/g, '$1')
}
