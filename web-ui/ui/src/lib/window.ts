/**
 * Which rows of a long table are worth drawing: those that are seen, and some above and below. Browsers bound the height
 * of an element, so a very long table is scrolled through in larger steps than it is drawn in.
 */

export interface Window {
  first: number
  /** Behind the last. */
  end: number
  /** Heights in place of the others. */
  above: number
  below: number
}

/** Enough for a turn of the wheel; each is a row that the browser makes anew after a jump. */
const AROUND = 5
/** Firefox stops at 17.8 million pixels, others later. */
const TALLEST = 15_000_000

export function visible(scrolled: number, height: number, row: number, count: number): Window {
  const whole = Math.min(count * row, TALLEST)
  const real = scrolled * scale(height, row, count)
  const first = Math.min(Math.max(0, Math.floor(real / row) - AROUND), count)
  const end = Math.max(first, Math.min(count, Math.ceil((real + height) / row) + AROUND))
  const above = Math.min(Math.max(0, scrolled - (real - first * row)), whole)
  return { first, end, above, below: Math.max(0, whole - above - (end - first) * row) }
}

/** Pixels of the whole table for one that is scrolled. */
export function scale(height: number, row: number, count: number): number {
  const whole = count * row
  return whole <= TALLEST ? 1 : (whole - height) / (TALLEST - height)
}

/** Where to scroll to so that a row is seen, below a head that stays. */
export function reveal(index: number, scrolled: number, height: number, row: number, head: number, count = index + 1): number {
  const factor = scale(height, row, count)
  const real = scrolled * factor
  const top = index * row
  if (top < real) return top / factor
  const bottom = top + row + head
  return bottom > real + height ? (bottom - height) / factor : scrolled
}
