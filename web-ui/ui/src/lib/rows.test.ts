import { expect, test } from 'vitest'

import { rowKey } from './rows'

function pressed(key: string, altKey = false): string[] {
  const done: string[] = []
  const event = { key, altKey, preventDefault: () => done.push('kept') }
  const taken = rowKey(event, { count: 100, seen: 10, step: (by) => done.push(`step ${by}`), open: () => done.push('open') })
  return [...done, taken ? 'taken' : 'left']
}

test('keys go from row to row, by pages and to the ends, and the browser does nothing else with them', () => {
  expect(pressed('ArrowDown')).toEqual(['kept', 'step 1', 'taken'])
  expect(pressed('ArrowUp')).toEqual(['kept', 'step -1', 'taken'])
  expect(pressed('PageDown')).toEqual(['kept', 'step 9', 'taken'])
  expect(pressed('Home')).toEqual(['kept', 'step -100', 'taken'])
  expect(pressed('End')).toEqual(['kept', 'step 100', 'taken'])
})

test('the key that opens a row is not left to the button that has the focus by then', () => {
  expect(pressed('Enter')).toEqual(['kept', 'open', 'taken'])
})

test('other keys are left to the table, and so are arrows that move a row', () => {
  expect(pressed('p')).toEqual(['left'])
  expect(pressed('ArrowDown', true)).toEqual(['left'])
})
