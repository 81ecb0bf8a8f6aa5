/**
 * What a configuration can hold, by the API's description of it. Pages have forms of their own for what they know; by
 * this, everything else has one, too.
 *
 * # Limits
 * What is neither text, number, choice, list, map nor object is edited as JSON. Rules between fields are the appliance's
 * to check.
 */

import schemas from 'virtual:document-schema'

/** JSON Schema, as far as the description uses it. */
export interface Node {
  $ref?: string
  type?: string | string[]
  enum?: string[]
  oneOf?: Node[]
  properties?: Record<string, Node>
  required?: string[]
  items?: Node
  additionalProperties?: Node | boolean
  minimum?: number
  maximum?: number
  description?: string
}

export interface Field {
  name: string
  control: Control
  required: boolean
  /** In the description's words. */
  hint: string
}

export type Control =
  | { kind: 'text' }
  | { kind: 'number'; least: number | undefined; most: number | undefined }
  | { kind: 'flag' }
  | { kind: 'choice'; options: string[] }
  /** A list of words, of these where there are any. */
  | { kind: 'words'; options: string[] }
  | { kind: 'list'; of: Control }
  /** By name. */
  | { kind: 'map'; of: Control }
  | { kind: 'group'; fields: Field[] }
  | { kind: 'either'; of: Control[] }
  | { kind: 'json' }

/** The document's sections. */
export const DOCUMENT: readonly Field[] = fieldsOf({ $ref: 'Document' })

/** The fields of what is at a path of the document, such as `/policies`: of one thing, where there are many. */
export function fieldsAt(path: string): readonly Field[] {
  return groupFields(controlAt(path)) ?? []
}

/** What is at a path of the document; nothing where nothing can be. */
export function controlAt(path: string): Control | undefined {
  let found: Control | undefined = { kind: 'group', fields: [...DOCUMENT] }
  for (const token of path.split('/').slice(1)) found = groupFields(found)?.find((field) => field.name === token)?.control
  return found
}

/** Of an object; of each object of a list or a map. */
function groupFields(control: Control | undefined): readonly Field[] | undefined {
  if (control?.kind === 'list' || control?.kind === 'map') return groupFields(control.of)
  return control?.kind === 'group' ? control.fields : undefined
}

function fieldsOf(node: Node): Field[] {
  const control = controlOf(node)
  return control.kind === 'group' ? control.fields : []
}

/** `within` are the schemas that it stands in: one that holds itself ends there. */
export function controlOf(node: Node, within: readonly string[] = []): Control {
  if (node.$ref !== undefined) {
    const schema = schemas[node.$ref]
    return schema === undefined || within.includes(node.$ref) ? { kind: 'json' } : controlOf(schema, [...within, node.$ref])
  }
  if (node.oneOf) return alternatives(node.oneOf.filter((one) => one.type !== 'null'), within)
  if (node.enum) return { kind: 'choice', options: node.enum.filter((word) => word !== null) }
  const types = (Array.isArray(node.type) ? node.type : [node.type]).filter((type) => type !== 'null')
  if (types.length !== 1) return { kind: 'json' }
  switch (types[0]) {
    case 'string':
      return { kind: 'text' }
    case 'integer':
    case 'number':
      return { kind: 'number', least: node.minimum, most: node.maximum }
    case 'boolean':
      return { kind: 'flag' }
    case 'array':
      return listOf(controlOf(node.items ?? {}, within))
    case 'object':
      return objectOf(node, within)
    default:
      return { kind: 'json' }
  }
}

function listOf(of: Control): Control {
  if (of.kind === 'text') return { kind: 'words', options: [] }
  if (of.kind === 'choice') return { kind: 'words', options: of.options }
  return { kind: 'list', of }
}

function objectOf(node: Node, within: readonly string[]): Control {
  if (node.properties) {
    const required = node.required ?? []
    const fields = Object.entries(node.properties).map(([name, property]): Field => ({
      name,
      control: controlOf(property, within),
      required: required.includes(name),
      // Of what may be nothing, it is with the other.
      hint: property.description ?? property.oneOf?.find((one) => one.description)?.description ?? ''
    }))
    return { kind: 'group', fields }
  }
  return typeof node.additionalProperties === 'object' ? { kind: 'map', of: controlOf(node.additionalProperties, within) } : { kind: 'json' }
}

/** Words that may stand there are one choice. */
function alternatives(nodes: Node[], within: readonly string[]): Control {
  const all = nodes.map((node) => controlOf(node, within))
  const options = all.flatMap((control) => (control.kind === 'choice' ? control.options : []))
  const others = all.filter((control) => control.kind !== 'choice')
  const of: Control[] = options.length > 0 ? [{ kind: 'choice', options }, ...others] : others
  const [only] = of
  return of.length === 1 && only ? only : { kind: 'either', of }
}

/** Things with names, in a table of their own: a map of them, or a list of objects that have one. */
export function isTable(control: Control): boolean {
  if (control.kind === 'map') return true
  return control.kind === 'list' && control.of.kind === 'group' && control.of.fields.some((field) => field.name === 'name')
}
