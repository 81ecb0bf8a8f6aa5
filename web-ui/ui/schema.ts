/**
 * What the API's description says of a configuration's document, for the bundle: `virtual:document-schema`. So forms know
 * every section and field of the binary that they are built with, whether or not somebody wrote a form for it.
 */

import { readFileSync } from 'node:fs'
import type { Plugin } from 'vite'

const ID = 'virtual:document-schema'
const DESCRIPTION = '../openapi.json'
const ROOT = 'Document'
const PREFIX = '#/components/schemas/'
/** What forms are made from; the rest is for others. */
const KEPT = ['$ref', 'type', 'enum', 'oneOf', 'properties', 'required', 'items', 'additionalProperties', 'minimum', 'maximum', 'description']

type Node = Record<string, unknown>

export function documentSchema(): Plugin {
  return {
    name: 'document-schema',
    resolveId: (id) => (id === ID ? `\0${ID}` : undefined),
    load(id) {
      if (id !== `\0${ID}`) return undefined
      this.addWatchFile(DESCRIPTION)
      const description = JSON.parse(readFileSync(DESCRIPTION, 'utf8')) as { components: { schemas: Record<string, Node> } }
      // As a text: browsers read JSON in a fraction of the time that they take for a program of this size.
      return `export default JSON.parse(${JSON.stringify(JSON.stringify(reachable(description.components.schemas)))})`
    }
  }
}

/** The document's schema and those that it refers to, by name. */
function reachable(all: Record<string, Node>): Record<string, unknown> {
  const found: Record<string, unknown> = {}
  const waiting = [ROOT]
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const schema = all[name]
    if (schema === undefined) throw new Error(`${DESCRIPTION} has no schema '${name}'`)
    if (name in found) continue
    found[name] = trimmed(schema, waiting)
  }
  return found
}

function trimmed(schema: Node, names: string[]): Node {
  return Object.fromEntries(
    Object.entries(schema)
      .filter(([key]) => KEPT.includes(key))
      .map(([key, value]) => {
        if (key === '$ref') {
          const name = String(value).slice(PREFIX.length)
          names.push(name)
          return [key, name]
        }
        if (key === 'properties') return [key, Object.fromEntries(Object.entries(value as Record<string, Node>).map(([name, one]) => [name, trimmed(one, names)]))]
        if (key === 'oneOf') return [key, (value as Node[]).map((one) => trimmed(one, names))]
        if (key === 'items' || (key === 'additionalProperties' && typeof value === 'object')) return [key, trimmed(value as Node, names)]
        return [key, value]
      })
  )
}
