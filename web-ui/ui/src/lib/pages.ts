/** A table that is too long to be had at once: the parts of it that are looked at, and no more than some of them. */

export class Parts<T> {
  readonly #parts = new Map<number, { items: readonly T[]; at: number }>()

  constructor(
    readonly size: number,
    readonly most: number
  ) {}

  /** `undefined` where it is not there yet. */
  item(index: number): T | undefined {
    return this.#parts.get(Math.floor(index / this.size))?.items[index % this.size]
  }

  /** Numbers of the parts that rows from `first` to before `end` are in, and that are missing or were taken before `since`. */
  wanted(first: number, end: number, since: number): number[] {
    const numbers: number[] = []
    if (end <= first) return numbers
    for (let number = Math.floor(first / this.size); number * this.size < end; number += 1) {
      const part = this.#parts.get(number)
      if (!part || part.at < since) numbers.push(number)
    }
    return numbers
  }

  take(number: number, items: readonly T[], at: number): void {
    this.#parts.delete(number)
    this.#parts.set(number, { items, at })
    for (const oldest of this.#parts.keys()) {
      if (this.#parts.size <= this.most) break
      this.#parts.delete(oldest)
    }
  }

  clear(): void {
    this.#parts.clear()
  }
}
