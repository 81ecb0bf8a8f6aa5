/** What all is measured with: an appliance with a thousand policies and a hundred thousand sessions, and a table of results. */

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'

import { expect, test as base, type Browser } from '@playwright/test'

import { Lab, obstacle } from '../e2e/lab'
import { settled } from '../e2e/test'

const POLICIES = 1_000
const SESSIONS = 100_000

interface Shared {
  lab: Lab
  chromium: Browser
}

export const test = base.extend<object, Shared>({
  lab: [
    async ({}, use) => {
      const lab = await Lab.start(configuration())
      await fill(lab)
      // Nothing is translated here, so the server has to know the way back. What filled the table went unanswered.
      execFileSync('ip', ['-n', `${lab.name}-server`, 'route', 'add', '192.0.2.0/24', 'via', '198.51.100.1'], { stdio: 'pipe' })
      await use(lab)
      await lab.stop()
    },
    { scope: 'worker', timeout: 300_000 }
  ],
  chromium: [
    async ({ lab }, use) => {
      const browser = await lab.browser()
      await settled(lab, browser)
      await use(browser)
      await browser.close()
    },
    { scope: 'worker', timeout: 60_000 }
  ]
})

const why = obstacle()
if (why) console.log(`SKIPPED: the web UI's measures: ${why}`)
test.skip(why !== undefined, why ?? '')

function configuration(): string {
  const objects = Array.from({ length: POLICIES }, (_, index) => `  host-${index}: [203.0.113.${index % 256}]`)
  const policies = Array.from(
    { length: POLICIES - 2 },
    (_, index) => `  - { name: policy-${index}, from: trust, to: untrust, source: lan, destination: host-${index}, application: [https, ssh], action: ${index % 3 === 0 ? 'deny' : 'permit'}, log: [start] }`
  )
  return `version: 1
system: { host-name: edge-1, sessions: 131072 }
management: { listen: 127.0.0.1:8443 }
interfaces:
  left:  { device: left,  addresses: [192.0.2.1/24] }
  right: { device: right, addresses: [198.51.100.1/24] }
zones:
  trust:   { interfaces: [left],  host-inbound: [ping] }
  untrust: { interfaces: [right], host-inbound: [ping] }
addresses:
  lan: [192.0.2.0/24]
${objects.join('\n')}
applications:
  any-udp: [{ protocol: udp, idle-timeout: 1h }]
policies:
  - { name: datagrams, from: trust, to: untrust, application: any-udp, action: permit }
${policies.join('\n')}
  - { name: everything, from: trust, to: untrust, source: lan, action: permit }
`
}

async function fill(lab: Lab): Promise<void> {
  const total = async () => (JSON.parse((await lab.ask('GET', '/api/v1/sessions?limit=1')).body) as { total: number }).total
  for (let rounds = 0; rounds < 12 && (await total()) < SESSIONS; rounds += 1) await lab.flood(51, 2_000)
  expect(await total()).toBeGreaterThan(SESSIONS)
}

const rows: string[] = []

/** `within` is what is wanted, in the same unit. */
export function report(what: string, values: readonly number[], unit: string, within: number, fails: 'above' | 'below' = 'above'): void {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted[Math.floor(sorted.length / 2)] ?? NaN
  const digits = unit === '×' ? 3 : unit === 'ms' ? 0 : 2
  const reached = fails === 'above' ? middle <= within : middle >= within
  const sign = fails === 'above' ? '≤' : '≥'
  rows.push(`| ${what} | ${middle.toFixed(digits)} | ${sorted[0]?.toFixed(digits)}–${sorted.at(-1)?.toFixed(digits)} | ${unit} | ${sign} ${within} | ${reached ? 'reached' : 'missed'} |`)
}

export function print(): void {
  const model = /^model name\s*: (.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown'
  const kernel = readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim()
  console.log(`\n${cpus().length} × ${model}, kernel ${kernel}; ${POLICIES} policies, ${SESSIONS} sessions\n`)
  console.log('| what | median | min–max | unit | wanted | |\n|---|--:|--:|---|--:|---|')
  console.log(rows.join('\n'))
  rows.length = 0
}

export { expect }
