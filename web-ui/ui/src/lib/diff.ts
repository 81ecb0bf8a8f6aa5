/** A unified diff as two columns, with what differs within a line marked. */

export interface Part {
  text: string
  differs: boolean
}

export interface Side {
  /** In its own text, from 1. */
  line: number
  parts: Part[]
}

export interface Row {
  kind: 'same' | 'changed' | 'removed' | 'added' | 'gap'
  left?: Side
  right?: Side
}

export function sideBySide(unified: string): Row[] {
  const rows: Row[] = []
  let [left, right] = [0, 0]
  let removed: [number, string][] = []
  let added: [number, string][] = []
  const settle = () => {
    for (let index = 0; index < Math.max(removed.length, added.length); index += 1) rows.push(pair(removed[index], added[index]))
    removed = []
    added = []
  }
  for (const line of unified.split('\n')) {
    const hunk = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/.exec(line)
    if (hunk) {
      settle()
      if (rows.length > 0 || Number(hunk[1]) > 1) rows.push({ kind: 'gap' })
      left = Number(hunk[1])
      right = Number(hunk[3])
    } else if (left === 0 && right === 0) {
      // Before the first hunk: which files they are.
    } else if (line.startsWith('-')) {
      if (added.length > 0) settle()
      removed.push([left, line.slice(1)])
      left += 1
    } else if (line.startsWith('+')) {
      added.push([right, line.slice(1)])
      right += 1
    } else if (line.startsWith(' ')) {
      settle()
      const parts = [{ text: line.slice(1), differs: false }]
      rows.push({ kind: 'same', left: { line: left, parts }, right: { line: right, parts } })
      left += 1
      right += 1
    }
  }
  settle()
  return rows
}

function pair(removed: [number, string] | undefined, added: [number, string] | undefined): Row {
  if (removed && added) {
    const [left, right] = marked(removed[1], added[1])
    return { kind: 'changed', left: { line: removed[0], parts: left }, right: { line: added[0], parts: right } }
  }
  if (removed) return { kind: 'removed', left: { line: removed[0], parts: [{ text: removed[1], differs: false }] } }
  if (added) return { kind: 'added', right: { line: added[0], parts: [{ text: added[1], differs: false }] } }
  return { kind: 'gap' }
}

/** All but what both begin and end with; nothing is marked where that would be almost everything. */
function marked(before: string, after: string): [Part[], Part[]] {
  const least = Math.min(before.length, after.length)
  let start = 0
  while (start < least && before[start] === after[start]) start += 1
  let end = 0
  while (end < least - start && before[before.length - 1 - end] === after[after.length - 1 - end]) end += 1
  if (before.slice(0, start).trim() === '' && end === 0) {
    return [[{ text: before, differs: false }], [{ text: after, differs: false }]]
  }
  return [cut(before, start, end), cut(after, start, end)]
}

function cut(text: string, start: number, end: number): Part[] {
  return [
    { text: text.slice(0, start), differs: false },
    { text: text.slice(start, text.length - end), differs: true },
    { text: text.slice(text.length - end), differs: false }
  ].filter((part) => part.text !== '')
}
