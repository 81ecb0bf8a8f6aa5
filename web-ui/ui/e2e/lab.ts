/**
 * An appliance between a client and a server, each in a network namespace of its own, and a browser in the
 * appliance's: so it reaches https://127.0.0.1:8443, and nothing else does.
 *
 * All that a lab leaves in the system carries its name, `palisade-ui-PID`, and goes with it.
 */

import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

import { chromium, type Browser } from '@playwright/test'

export const URL = 'https://127.0.0.1:8443'

const BINARY = resolve(process.env['PALISADE_BINARY'] ?? '../../target/debug/palisade')
const CHROMIUM = process.env['PALISADE_CHROMIUM'] ?? '/usr/bin/chromium'

const CONFIGURATION = `# The browser's tests begin with this.
version: 1
system:
  host-name: edge-1
  sessions: 131072
  # As \`palisade chain up\` writes it.
  chain: { name: shop, service: edge, instance: edge.1, paths: [[clients, edge, nat, servers], [clients, edge, between]] }
management:
  listen: 127.0.0.1:8443
interfaces:
  left:  { device: left,  addresses: [192.0.2.1/24] }
  right: { device: right, addresses: [198.51.100.1/24] }
zones:
  trust:   { interfaces: [left],  host-inbound: [ping] }
  untrust: { interfaces: [right], host-inbound: [ping] }
addresses:
  lan: [192.0.2.0/24]
policies:
  # Everybody may ping.
  - { name: ping-out, from: trust, to: untrust, source: lan, application: ping, action: permit, log: [start] }
  - { name: no-mail, from: trust, to: untrust, application: smtp, action: reject, log: start }
nat:
  source:
    - { name: internet, from: trust, to: untrust, source: lan, translate: interface }
`

/** Why this can't run here; undefined where it can. */
export function obstacle(): string | undefined {
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  if (!existsSync(BINARY)) return `there is no ${BINARY}: cargo build first`
  if (!existsSync(CHROMIUM)) return `there is no ${CHROMIUM}`
  return undefined
}

/** USER_HZ, asm/param.h: what programs are told, whatever the kernel counts by. */
const TICKS_PER_SECOND = 100

type Host = 'client' | 'firewall' | 'server'

export class Lab {
  readonly name = `palisade-ui-${process.pid}`
  readonly directory = mkdtempSync(join(tmpdir(), 'palisade-ui-'))
  readonly #children: ChildProcess[] = []
  #appliance: ChildProcess | undefined
  #log = ''

  private constructor() {}

  static async start(configuration = CONFIGURATION): Promise<Lab> {
    const lab = new Lab()
    try {
      lab.#network()
      lab.#serve()
      writeFileSync(join(lab.directory, 'palisade.yaml'), configuration)
      await lab.boot()
    } catch (error) {
      await lab.stop()
      throw error
    }
    return lab
  }

  /** The password that the first boot has logged. */
  get oneTimePassword(): string {
    const found = /"password":"([^"]+)"/.exec(this.#log)?.[1]
    if (!found) throw new Error(`no one-time password in the log:\n${this.#log}`)
    return found
  }

  get log(): string {
    return this.#log
  }

  async boot(): Promise<void> {
    const args = ['run', '--config', 'palisade.yaml', '--state-dir', 'state', '--socket', 'api.sock', '--log', 'json'].map((word) =>
      /\.|state$/.test(word) && !word.startsWith('-') ? join(this.directory, word) : word
    )
    const appliance = this.run('firewall', BINARY, args)
    this.#appliance = appliance
    appliance.stdout?.on('data', (data: Buffer) => (this.#log += data.toString()))
    appliance.stderr?.on('data', (data: Buffer) => (this.#log += data.toString()))
    for (let tries = 0; tries < 300; tries += 1) {
      if (appliance.exitCode !== null) throw new Error(`the appliance has ended:\n${this.#log}`)
      if (await this.ask('GET', '/readyz').then(({ status }) => status === 200, () => false)) return
      await new Promise((again) => setTimeout(again, 100))
    }
    throw new Error(`the appliance does not become ready:\n${this.#log}`)
  }

  async halt(): Promise<void> {
    const appliance = this.#appliance
    if (!appliance || appliance.exitCode !== null) return
    // A test that failed may have left it so.
    this.thaw()
    const ended = new Promise((resolve) => appliance.once('exit', resolve))
    appliance.kill('SIGTERM')
    await ended
  }

  /** It keeps its connections and says nothing, until `thaw`. */
  freeze(): void {
    this.#appliance?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#appliance?.kill('SIGCONT')
  }

  /** Between the browser and the appliance, nothing comes through any more, and nobody is told; or all does again. */
  cut(off: boolean): void {
    const rules = 'add table inet cut { chain input { type filter hook input priority 0; tcp dport 8443 drop; tcp sport 8443 drop; }; }'
    execFileSync('ip', ['netns', 'exec', `${this.name}-firewall`, 'nft', off ? rules : 'delete table inet cut'], { stdio: 'pipe' })
  }

  /** The processor's time that the appliance has taken, in seconds. */
  get processorSeconds(): number {
    // proc(5): after the name in brackets, the 12th and 13th are its ticks in user mode and in the kernel's.
    const fields = readFileSync(`/proc/${this.#appliance?.pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ')
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
  }

  /** As root, by the unix socket. */
  ask(method: string, path: string, body?: unknown): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      const text = body === undefined ? '' : JSON.stringify(body)
      const headers = text ? { 'content-type': Array.isArray(body) ? 'application/json-patch+json' : 'application/json', 'content-length': Buffer.byteLength(text) } : {}
      const asked = request({ socketPath: join(this.directory, 'api.sock'), method, path, headers }, (answer) => {
        let said = ''
        answer.on('data', (part: Buffer) => (said += part.toString()))
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: said }))
      })
      asked.on('error', reject)
      asked.end(text)
    })
  }

  run(host: Host, program: string, args: string[]): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', `${this.name}-${host}`, program, ...args], { env: environment(), stdio: ['ignore', 'pipe', 'pipe'] })
    this.#children.push(child)
    return child
  }

  /** Whether the client gets an answer from the server's port 80. */
  fetches(seconds = 2): boolean {
    try {
      execFileSync('ip', ['netns', 'exec', `${this.name}-client`, 'curl', '--silent', '--max-time', String(seconds), 'http://198.51.100.10/'], { stdio: 'pipe' })
      return true
    } catch {
      return false
    }
  }

  /** Many short conversations: datagrams from and to so many ports each, to 198.51.100.11. */
  flood(sources: number, destinations: number): Promise<void> {
    const script = `
      const { createSocket } = require('node:dgram')
      const [sources, destinations] = [${sources}, ${destinations}]
      ;(async () => {
        for (let source = 0; source < sources; source += 1) {
          const socket = createSocket('udp4')
          await new Promise((bound) => socket.bind(20000 + source, bound))
          for (let destination = 0; destination < destinations; destination += 1) {
            await new Promise((sent) => socket.send('x', 10000 + destination, '198.51.100.11', sent))
            if (destination % 200 === 199) await new Promise((rest) => setTimeout(rest, 12))
          }
          socket.close()
        }
      })()`
    const sender = this.run('client', process.execPath, ['-e', script])
    return new Promise((resolve, reject) => sender.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`the sender ended with ${code}`)))))
  }

  /** Debian's Chromium, with an empty profile, and no word to anybody else. */
  async browser(): Promise<Browser> {
    const wrapper = join(this.directory, 'chromium')
    writeFileSync(wrapper, `#!/bin/sh\nexec ip netns exec ${this.name}-firewall ${CHROMIUM} "$@"\n`)
    chmodSync(wrapper, 0o755)
    return chromium.launch({
      executablePath: wrapper,
      args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--no-first-run', '--disable-dev-shm-usage']
    })
  }

  async stop(): Promise<void> {
    await this.halt().catch(() => undefined)
    for (const child of this.#children) child.kill('SIGKILL')
    for (const host of ['client', 'firewall', 'server']) {
      try {
        execFileSync('ip', ['netns', 'delete', `${this.name}-${host}`], { stdio: 'pipe' })
      } catch {
        // It was never made.
      }
    }
    rmSync(this.directory, { recursive: true, force: true })
  }

  #network(): void {
    const ip = (words: string) => execFileSync('ip', words.split(' '), { stdio: 'pipe' })
    const [client, firewall, server] = ['client', 'firewall', 'server'].map((host) => `${this.name}-${host}`)
    for (const namespace of [client, firewall, server]) ip(`netns add ${namespace}`)
    ip(`link add eth0 netns ${client} type veth peer name left netns ${firewall}`)
    ip(`link add eth0 netns ${server} type veth peer name right netns ${firewall}`)
    for (const device of ['lo', 'left', 'right']) ip(`-n ${firewall} link set ${device} up`)
    for (const [namespace, address] of [
      [client, '192.0.2.10/24'],
      [server, '198.51.100.10/24'],
      // For more conversations than one address has ports to be translated to.
      [server, '198.51.100.11/24']
    ]) {
      ip(`-n ${namespace} link set lo up`)
      ip(`-n ${namespace} link set eth0 up`)
      ip(`-n ${namespace} address add ${address} dev eth0`)
    }
    ip(`-n ${client} route add default via 192.0.2.1`)
  }

  /** An answer to every question, by HTTP. */
  #serve(): void {
    this.run('server', process.execPath, ['-e', "require('node:http').createServer((_, answer) => answer.end('hello\\n')).listen(80, '198.51.100.10')"])
  }
}

/** What the tests leave to be looked at. */
export const SHOTS = resolve('screenshots')

/** This environment, without what an appliance would take for its settings. */
function environment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(PALISADE|CSRX)_/.test(name))
  return Object.fromEntries(kept)
}
