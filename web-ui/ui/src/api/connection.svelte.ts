/** Whether the appliance answers. When it does not, it is asked until it does. */

let up = $state(true)
/** Changes when the appliance is back, for those who want to look again. */
let returns = $state(0)
let asking: ReturnType<typeof setTimeout> | undefined

export const connection = {
  get up() {
    return up
  },
  get returns() {
    return returns
  },
  lost() {
    if (!up) return
    up = false
    again(500)
  },
  found() {
    clearTimeout(asking)
    if (up) return
    up = true
    returns += 1
  }
}

function again(milliseconds: number): void {
  asking = setTimeout(() => {
    fetch('/healthz', { cache: 'no-store' }).then(
      () => connection.found(),
      () => again(Math.min(milliseconds * 1.5, 5_000))
    )
  }, milliseconds)
}

addEventListener('online', () => {
  if (!up) again(0)
})
