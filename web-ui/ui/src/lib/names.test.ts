import { expect, test } from 'vitest'

import { hintOf, inSentence } from './names'

test('a label begins small in a sentence, unless it is an abbreviation', () => {
  expect(['Service chain', 'URL filter', 'Tuning', '調整', ''].map(inSentence)).toEqual(['service chain', 'URL filter', 'tuning', '調整', ''])
})

test('what a description has as code is quoted', () => {
  expect(hintOf('Of each direction: `1MiB`, or `all`.')).toBe("Of each direction: '1MiB', or 'all'.")
})
