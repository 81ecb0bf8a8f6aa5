/**
 * What contents of sessions are called, for the bundle: `virtual:content`. It is what the binary is built from that the bundle is
 * built with, because the API tells the names of applications by ports, and of no others.
 */

import { readFileSync } from 'node:fs'
import type { Plugin } from 'vite'

const ID = 'virtual:content'
const SERVICES = '../../firewall/inspection/src/services.yaml'
const PROTOCOLS = '../../firewall/inspection/src/protocol.rs'

export function contentNames(): Plugin {
  return {
    name: 'content-names',
    resolveId: (id) => (id === ID ? `\0${ID}` : undefined),
    load(id) {
      if (id !== `\0${ID}`) return undefined
      for (const file of [SERVICES, PROTOCOLS]) this.addWatchFile(file)
      const services = found(SERVICES, /^([\w-]+): \{ title: ("[^"]*"|[^,]*), category: ([\w-]+),/gm, 150).map(([name, title = '', category]) => [name, title.replace(/^"|"$/g, ''), category])
      const protocols = found(PROTOCOLS, /^ {4}\w+ "([\w-]+)" "([^"]+)",$/gm, 50)
      return `export default JSON.parse(${JSON.stringify(JSON.stringify({ services, protocols }))})`
    }
  }
}

/** What a line of the file has, of all lines that are written so. */
function found(file: string, line: RegExp, least: number): string[][] {
  const all = [...readFileSync(file, 'utf8').matchAll(line)].map(([, ...parts]) => parts)
  if (all.length < least) throw new Error(`${file} is not written as it was: ${all.length} names were found in it`)
  return all
}
