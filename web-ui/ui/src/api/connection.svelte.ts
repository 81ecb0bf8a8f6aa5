/**
 * Whether the appliance answers. When it does not, it is asked until it does.
 *
 * A connection whose packets are dropped looks like one where nothing happens, and the browser would send by it again and
 * again. What is aborted takes its connection along (RFC 9112, 9.6), so the next question goes by a new one.
 */

/** How long the one question may take that costs the appliance nothing. */
const PROBE = 3_000
/** Between questions that are refused at once, as they are while the process is gone. */
const RETRY_FIRST = 500
const RETRY_MOST = 5_000
/**
 * Before the next question, while so many hang. Each waits for a connection that is being opened, for which the kernel tries again ever
 * more rarely, at last every minute; the browser keeps that one also for a question that was given up, and opens another only for one
 * beside it, of six.
 */
const HANGING = [3_000, 6_000, 12_000, 24_000]

let up = $state(true)
/** Changes when the appliance is back, for those who want to look again. */
let returns = $state(0)
let asking: ReturnType<typeof setTimeout> | undefined
let probing = false
let hanging = 0
/** How many answers have come. */
let answers = 0
let flight = new AbortController()
let waiting = new AbortController()

export const connection = {
  get up() {
    return up
  },
  get returns() {
    return returns
  },
  /** Of all that is on its way: aborted when nothing comes any more. */
  get silence(): AbortSignal {
    return flight.signal
  },
  /** A question could not be sent. */
  lost() {
    if (!up) return
    up = false
    again(RETRY_FIRST)
  },
  /** What should have come did not. */
  doubted() {
    if (!up || probing) return
    probing = true
    const before = answers
    const late = new AbortController()
    const timer = setTimeout(() => late.abort(), PROBE)
    void healthy(late.signal).finally(() => {
      probing = false
      clearTimeout(timer)
      // Another answer is as good.
      if (answers > before) return
      cut()
      connection.lost()
    })
  },
  found() {
    answers += 1
    clearTimeout(asking)
    if (up) return
    up = true
    returns += 1
    waiting.abort()
    waiting = new AbortController()
  }
}

function again(milliseconds: number): void {
  clearTimeout(asking)
  asking = setTimeout(() => {
    hanging += 1
    void healthy(waiting.signal).finally(() => {
      hanging -= 1
      if (!up) again(Math.min(milliseconds * 1.5, RETRY_MOST))
    })
    const wait = HANGING[hanging - 1]
    if (wait !== undefined) again(wait)
  }, milliseconds)
}

/** Asks whether it lives. */
async function healthy(signal: AbortSignal): Promise<void> {
  try {
    await fetch('/healthz', { cache: 'no-store', signal })
    connection.found()
  } catch {
    // That is the answer.
  }
}

function cut(): void {
  flight.abort()
  flight = new AbortController()
}

addEventListener('online', () => {
  if (!up) again(0)
})
