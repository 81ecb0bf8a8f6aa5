/** The time, every second, as the appliance has it: the browser's clock may be another. */

let offset = 0
let now = $state(Date.now())

setInterval(() => (now = Date.now() + offset), 1_000)

export const clock = {
  get now() {
    return now
  }
}

/** What an answer says of its time; it is cut to seconds and was on the way, so small differences are none. */
export function synchronise(date: string | null): void {
  const at = date === null ? NaN : Date.parse(date)
  if (Number.isNaN(at)) return
  const difference = at + 500 - Date.now()
  offset = Math.abs(difference) < 2_000 ? 0 : difference
}
