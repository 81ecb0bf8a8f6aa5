/** What policies are found by beside what they show: what is in the objects that they name. */

import { covers, span } from '../../lib/addresses'
import type { Row } from './rows'

/** An object with what it stands for, other objects by their names: `192.0.2.0/24`, `tcp 8000-8100`, `printers`. */
export interface Contents {
  name: string
  items: readonly string[]
}

export interface Objects {
  addresses: readonly Contents[]
  applications: readonly Contents[]
}

export const NO_OBJECTS: Objects = { addresses: [], applications: [] }

/** Whether what a policy names holds the word: its text, an address in it, a port in it. */
export function finder(word: string, { addresses, applications }: Objects): (row: Row) => boolean {
  const sought = span(word)
  const covered = (item: string) => {
    const outer = sought && span(item)
    return outer !== undefined && sought !== undefined && covers(outer, sought)
  }
  const port = /^\d{1,5}$/.test(word) ? Number(word) : undefined
  const within = (item: string) => item.toLowerCase().includes(word)
  const byAddress = holders(addresses, (item) => covered(item) || within(item))
  const byApplication = holders(applications, (item) => (port === undefined ? within(item) : hasPort(item, port)))
  return (row) =>
    row.source.some((name) => byAddress.has(name) || covered(name)) ||
    row.destination.some((name) => byAddress.has(name) || covered(name)) ||
    row.application.some((name) => byApplication.has(name))
}

/** The objects that have such an item, and those that have these in them. What is taken out (`not:`) is not held. */
function holders(objects: readonly Contents[], fits: (item: string) => boolean): Set<string> {
  const found = new Set(objects.filter(({ items }) => items.some((item) => !item.startsWith('not:') && fits(item))).map(({ name }) => name))
  for (let before = -1; before !== found.size; ) {
    before = found.size
    for (const { name, items } of objects) if (items.some((item) => found.has(item))) found.add(name)
  }
  return found
}

/** Of a term in words: `tcp 80, 8000-8100 from 1024-65535` has those before `from`. */
function hasPort(term: string, port: number): boolean {
  const [, ports = ''] = /^(?:tcp|udp|sctp) ([^a-z]*)/.exec(term) ?? []
  return ports.split(/[\s,]+/).some((part) => {
    const [first, last = first] = part.split('-')
    return part !== '' && Number(first) <= port && port <= Number(last)
  })
}
