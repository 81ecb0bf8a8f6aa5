/** What was asked for again and again and refused each time, as long as it is: the page shows what it knew before. */

import { Refused } from './problem'

let list: readonly { who: object; message: string }[] = $state.raw([])

export const trouble = {
  /** Each once, however many were told it. */
  get messages(): string[] {
    return [...new Set(list.map((one) => one.message))]
  },
  /** Only what the appliance says itself: that it can't be reached is said elsewhere. */
  of(who: object, error: unknown) {
    if (error instanceof Refused) list = [...list.filter((one) => one.who !== who), { who, message: error.message }]
  },
  over(who: object) {
    if (list.some((one) => one.who === who)) list = list.filter((one) => one.who !== who)
  }
}
