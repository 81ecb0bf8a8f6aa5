/** Which rows of a long table are worth drawing: those that are seen, and some above and below. */

export interface Window {
  first: number
  /** Behind the last. */
  end: number
  /** Heights in place of the others. */
  above: number
  below: number
}

const AROUND = 12

export function visible(scrolled: number, height: number, row: number, count: number): Window {
  const first = Math.min(Math.max(0, Math.floor(scrolled / row) - AROUND), count)
  const end = Math.min(count, Math.ceil((scrolled + height) / row) + AROUND)
  return { first, end: Math.max(first, end), above: first * row, below: Math.max(0, count - Math.max(first, end)) * row }
}

/** Where to scroll to so that a row is seen, below a head that stays. */
export function reveal(index: number, scrolled: number, height: number, row: number, head: number): number {
  const top = index * row
  if (top < scrolled) return top
  const bottom = top + row + head
  return bottom > scrolled + height ? bottom - height : scrolled
}
