/** What is wrong with the appliance, as long as it is. */

import { api, asked } from './client'
import { poll } from './live.svelte'
import type { Alarm } from './types'

const EVERY = 10_000

let list: Alarm[] = $state.raw([])

export const alarms = {
  get list() {
    return list
  },
  get worst(): Alarm['severity'] | undefined {
    return list.some((alarm) => alarm.severity === 'error') ? 'error' : list[0]?.severity
  }
}

/** For an effect. */
export function followAlarms(): () => void {
  return poll(async () => {
    list = (await asked(api.GET('/api/v1/alarms'))).alarms
  }, EVERY)
}
