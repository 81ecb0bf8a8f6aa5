import { expect, test } from 'vitest'

import { sideBySide } from './diff'

const TEXT = `--- running
+++ candidate
@@ -3,5 +3,6 @@
 zones:
-  trust: { interfaces: [left] }
+  trust: { interfaces: [left, dmz] }
   untrust:
+    interfaces: [right]
 policies:
-  - name: old
`

test('lines stand beside what became of them, with their numbers', () => {
  const rows = sideBySide(TEXT)
  expect(rows.map((row) => [row.kind, row.left?.line, row.right?.line])).toEqual([
    ['gap', undefined, undefined],
    ['same', 3, 3],
    ['changed', 4, 4],
    ['same', 5, 5],
    ['added', undefined, 6],
    ['same', 6, 7],
    ['removed', 7, undefined]
  ])
})

test('what differs within a line is marked', () => {
  const changed = sideBySide(TEXT)[2]
  expect(changed?.right?.parts.filter((part) => part.differs).map((part) => part.text)).toEqual([', dmz'])
  expect(changed?.left?.parts.map((part) => part.text).join('')).toBe('  trust: { interfaces: [left] }')
})

test('no difference is no rows', () => {
  expect(sideBySide('')).toEqual([])
})
