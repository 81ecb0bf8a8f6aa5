/** The keys that every long table takes: from row to row, and what opens one. */

/** What a table tells of itself. */
interface Rows {
  count: number
  /** How many are seen at once. */
  seen: number
  /** By so many rows, up or down; further than there are stops at the end. */
  step: (by: number) => void
  /** The row that is marked as the current one, if there is one. */
  open: () => void
}

/** Whether the key was one of them. */
export function rowKey(event: Pick<KeyboardEvent, 'key' | 'altKey' | 'preventDefault'>, { count, seen, step, open }: Rows): boolean {
  const page = Math.max(1, seen - 1)
  const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -count, End: count }
  const by = event.altKey ? undefined : steps[event.key]
  if (by === undefined && event.key !== 'Enter') return false
  // Or else the page scrolls; or the key is the button's that has the focus once what it has opened is there.
  event.preventDefault()
  if (by === undefined) open()
  else step(by)
  return true
}
