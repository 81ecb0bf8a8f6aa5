import { expect, test } from 'vitest'

import { complaints, Refused, refusal } from './problem'
import type { Problem } from './types'

const problem = (more: Partial<Problem>): Refused => new Refused({ type: 'about:blank', title: 'Wrong', status: 422, detail: 'all wrong', ...more })
const mistake = (pointer: string, message: string, more: object = {}) => ({ severity: 'error', pointer, line: 1, column: 1, message, ...more })

test('each mistake is at its field, with what was probably meant', () => {
  const error = problem({
    errors: [
      mistake('/policies/3/from', "no zone is named 'trst'", { suggestion: 'trust' }),
      mistake('/policies/3/source/0', 'one'),
      mistake('/policies/3/source/1', 'two'),
      mistake('/policies/31/source/0', "another policy's"),
      mistake('/policies/3', 'as a whole'),
      mistake('/policies/3/name', 'only a warning', { severity: 'warning' })
    ]
  })
  expect(complaints(error, '/policies/3', ['name', 'from', 'source'])).toEqual({
    fields: { from: "no zone is named 'trst' (trust?)", source: 'one\ntwo' },
    within: { '/from': "no zone is named 'trst' (trust?)", '/source/0': 'one', '/source/1': 'two' },
    general: ["another policy's", 'as a whole']
  })
})

test('a problem without mistakes is told by its pointer or parameter, and never lost', () => {
  expect(complaints(problem({ pointer: '/confirm-within' }), '', ['confirm-within']).fields).toEqual({ 'confirm-within': 'all wrong' })
  expect(complaints(problem({ parameter: 'port' }), '', ['port']).fields).toEqual({ port: 'all wrong' })
  expect(complaints(problem({ pointer: '/elsewhere' }), '', ['port']).general).toEqual(['all wrong'])
  expect(complaints(new Error('no network'), '', []).general).toEqual(['no network'])
})

test('names with a slash are found again', () => {
  expect(complaints(problem({ errors: [mistake('/routes/0/a~1b', 'x')] }), '/routes/0', ['a/b']).fields).toEqual({ 'a/b': 'x' })
})

test('an answer that is no problem is told by its status', async () => {
  const refused = await refusal(new Response('<h1>Bad Gateway</h1>', { status: 502, statusText: 'Bad Gateway' }))
  expect([refused.status, refused.message, refused.kind]).toEqual([502, 'Bad Gateway', ''])
  const waiting = await refusal(Response.json(problem({ status: 429, type: 'urn:palisade:problem:role' }).problem, { status: 429, headers: { 'retry-after': '7' } }))
  expect([waiting.retryAfterSeconds, waiting.kind]).toEqual([7, 'role'])
})

test('that a key is missing is told at the field that it would be in', () => {
  const error = problem({
    errors: [
      mistake('/services/x1/category', "the key 'category' is missing"),
      mistake('/services/x1/filter/to', "the key 'to' is missing"),
      mistake('/services/x1', 'a service needs a thought')
    ]
  })
  expect(complaints(error, '/services/x1', ['name', 'category', 'filter'])).toEqual({
    fields: { category: "the key 'category' is missing", filter: "the key 'to' is missing" },
    within: { '/category': "the key 'category' is missing", '/filter/to': "the key 'to' is missing" },
    general: ['a service needs a thought']
  })
})
