/** What browsers cost the appliance: its processor, and the packets that it forwards meanwhile. */

import type { ChildProcess } from 'node:child_process'

import type { Browser } from '@playwright/test'

import type { Lab } from '../e2e/lab'
import { at, PASSWORD } from '../e2e/test'
import { expect, print, report, test } from './lab'

const ROUNDS = 5
const SECONDS = 20
const BROWSERS = 20
/** Of a core. */
const LIVE_PERCENT = 1
const RATE_RATIO = 0.97

test.afterAll(print)

test('one browser on the dashboard', async ({ lab, chromium }) => {
  const costs: number[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    const alone = await percent(lab)
    const page = await at(chromium, '/')
    await expect(page.getByRole('heading', { name: 'Dashboard' })).toBeVisible()
    // What loading it takes is no live update.
    await page.waitForTimeout(8_000)
    costs.push((await percent(lab)) - alone)
    await page.context().close()
  }
  report('one dashboard: the appliance’s processor', costs, '% of a core', LIVE_PERCENT)
})

test('twenty browsers', async ({ lab, chromium }) => {
  const asked = await questions(chromium)
  // Streams of one user are bounded.
  const users = ['admin', ...(await Promise.all(['viewer-1', 'viewer-2', 'viewer-3'].map((name) => added(lab, name))))]

  const costs: number[] = []
  const packets: number[] = []
  const bytes: number[] = []
  // Each round with browsers stands between two without, for the machine is not as quick all the time.
  let before = await passed(lab)
  for (let round = 0; round < ROUNDS; round += 1) {
    const clients = await browse(lab, asked, users)
    const watched = await passed(lab)
    // One that was refused something has ended, and would have cost nothing since.
    expect(clients.exitCode).toBeNull()
    clients.kill('SIGKILL')
    await new Promise((rest) => setTimeout(rest, 2_000))
    const after = await passed(lab)
    costs.push(watched.idle - (before.idle + after.idle) / 2)
    packets.push((2 * watched.udp) / (before.udp + after.udp))
    bytes.push((2 * watched.tcp) / (before.tcp + after.tcp))
    before = after
  }
  report(`${BROWSERS} dashboards: the appliance’s processor`, costs, '% of a core', BROWSERS * LIVE_PERCENT)
  report(`${BROWSERS} dashboards: small packets, compared with none`, packets, '×', RATE_RATIO, 'below')
  report(`${BROWSERS} dashboards: one TCP stream, compared with none`, bytes, '×', RATE_RATIO, 'below')
})

/** What the appliance takes of a core while nothing passes, and what gets through when something does. */
async function passed(lab: Lab): Promise<{ idle: number; udp: number; tcp: number }> {
  return { idle: await percent(lab), udp: await iperf(lab, 'udp'), tcp: await iperf(lab, 'tcp') }
}

/** What the appliance takes of a core. */
async function percent(lab: Lab): Promise<number> {
  const [before, began] = [lab.processorSeconds, performance.now()]
  await new Promise((rest) => setTimeout(rest, SECONDS * 1000))
  return ((lab.processorSeconds - before) / ((performance.now() - began) / 1000)) * 100
}

/** Each question that a dashboard asks, with how often in a minute; streams are asked for once. */
async function questions(chromium: Browser): Promise<{ path: string; perMinute: number }[]> {
  const page = await at(chromium, '/')
  await page.waitForTimeout(8_000)
  const seen = new Map<string, number>()
  page.on('request', (request) => {
    const { pathname, search } = new URL(request.url())
    // Times in it are others each time.
    const path = (pathname + search).replace(/since=\d+/, () => 'since=-15s')
    seen.set(path, (seen.get(path) ?? 0) + 1)
  })
  await page.waitForTimeout(60_000)
  await page.context().close()
  expect(seen.size).toBeGreaterThan(4)
  return [...seen].map(([path, perMinute]) => ({ path, perMinute }))
}

async function added(lab: Lab, name: string): Promise<string> {
  const made = await lab.ask('POST', '/api/v1/users', { name, role: 'read-only', password: PASSWORD, 'must-change-password': false })
  expect(made.status, made.body).toBe(201)
  return name
}

/**
 * So many clients that ask what a browser asks, as often, each with streams of its own. Browsers are on other machines:
 * what drawing costs them is not measured, so they share the second processor.
 */
async function browse(lab: Lab, asked: { path: string; perMinute: number }[], users: string[]): Promise<ChildProcess> {
  const script = `
    const https = require('node:https')
    const [asked, users, browsers, password] = [${JSON.stringify(asked)}, ${JSON.stringify(users)}, ${BROWSERS}, ${JSON.stringify(PASSWORD)}]
    // Each from an address of its own: connections from one are bounded.
    const ask = (agent, method, path, cookie, body) => new Promise((resolve, reject) => {
      const headers = { ...(cookie ? { cookie } : {}), ...(body ? { 'content-type': 'application/json' } : {}), accept: '*/*' }
      const request = https.request({ host: '127.0.0.1', port: 8443, method, path: path.replace('since=-15s', () => 'since=' + Math.floor(Date.now() / 1000 - 15)), headers, agent, localAddress: agent.options.localAddress, rejectUnauthorized: false }, (answer) => {
        if (answer.statusCode !== 200) reject(new Error(path + ': ' + answer.statusCode))
        answer.on('data', () => {})
        if (answer.headers['content-type'] === 'text/event-stream') resolve(answer)
        else answer.on('end', () => resolve(answer))
      })
      request.on('error', reject)
      request.end(body)
    })
    ;(async () => {
      for (let number = 0; number < browsers; number += 1) {
        const agent = new https.Agent({ keepAlive: true, maxSockets: 6, localAddress: '127.0.0.' + (2 + number) })
        const entered = await ask(agent, 'POST', '/api/v1/login', '', JSON.stringify({ name: users[number % users.length], password }))
        const cookie = entered.headers['set-cookie'].map((one) => one.split(';')[0]).join('; ')
        for (const path of ['/api/v1/rates/stream', '/api/v1/events/stream?kind=commit,confirm,undo,audit']) await ask(agent, 'GET', path, cookie)
        for (const { path, perMinute } of asked) {
          const every = 60_000 / perMinute
          setTimeout(() => setInterval(() => ask(agent, 'GET', path, cookie), every), Math.random() * every)
        }
      }
      console.log('all are there')
    })()`
  const clients = lab.run('firewall', 'taskset', ['--cpu-list', '1', process.execPath, '-e', script])
  let said = ''
  clients.stderr?.on('data', (data: Buffer) => (said += data.toString()))
  await new Promise<void>((ready, failed) => {
    clients.stdout?.once('data', () => ready())
    clients.once('exit', () => failed(new Error(`the clients have ended: ${said}`)))
  })
  await new Promise((rest) => setTimeout(rest, 5_000))
  return clients
}

/** What gets through: packets a second of small datagrams, or bits a second of one stream. */
async function iperf(lab: Lab, kind: 'udp' | 'tcp'): Promise<number> {
  const server = lab.run('server', 'taskset', ['--cpu-list', '0', 'iperf3', '--server', '--one-off', '--bind', '198.51.100.10'])
  await new Promise((rest) => setTimeout(rest, 500))
  const how = kind === 'udp' ? ['--udp', '--bitrate', '0', '--length', '60'] : []
  const client = lab.run('client', 'taskset', ['--cpu-list', '0', 'iperf3', '--client', '198.51.100.10', '--time', '8', '--omit', '1', '--json', ...how])
  let said = ''
  client.stdout?.on('data', (data: Buffer) => (said += data.toString()))
  await new Promise((ended) => client.once('exit', ended))
  server.kill('SIGKILL')
  const result = JSON.parse(said) as { error?: string; end: { sum: { packets: number; lost_packets: number; seconds: number }; sum_received: { bits_per_second: number } } }
  if (result.error) throw new Error(`iperf3: ${result.error}`)
  return kind === 'udp' ? (result.end.sum.packets - result.end.sum.lost_packets) / result.end.sum.seconds : result.end.sum_received.bits_per_second
}
