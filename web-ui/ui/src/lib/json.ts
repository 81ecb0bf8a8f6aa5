/** JSON values, pointers (RFC 6901) and the operations of a patch (RFC 6902) that the UI makes itself. */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
export type JsonObject = { [key: string]: Json }

export type Operation =
  | { op: 'add' | 'replace'; path: string; value: Json }
  | { op: 'remove'; path: string }
  | { op: 'move'; from: string; path: string }

export function pointer(...tokens: (string | number)[]): string {
  return tokens.map((token) => `/${String(token).replace(/~/g, '~0').replace(/\//g, '~1')}`).join('')
}

export function tokens(path: string): string[] {
  return path
    .split('/')
    .slice(1)
    .map((token) => token.replace(/~1/g, '/').replace(/~0/g, '~'))
}

export function at(value: Json | undefined, path: string): Json | undefined {
  let found = value
  for (const token of tokens(path)) {
    if (Array.isArray(found)) found = found[Number(token)]
    else if (isObject(found)) found = found[token]
    else return undefined
  }
  return found
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function same(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, index) => same(item, b[index]))
  if (isObject(a) && isObject(b)) {
    const keys = Object.keys(a)
    return keys.length === Object.keys(b).length && keys.every((key) => key in b && same(a[key], b[key]))
  }
  return false
}

/** The document after the operations; what they do not touch is shared with the one before. */
export function apply(document: Json, operations: readonly Operation[]): Json {
  return operations.reduce((value, operation) => {
    switch (operation.op) {
      case 'add':
      case 'replace':
        return put(value, tokens(operation.path), operation.value, operation.op === 'add')
      case 'remove':
        return remove(value, tokens(operation.path))
      case 'move': {
        const moved = at(value, operation.from)
        if (moved === undefined) throw new RangeError(`nothing is at ${operation.from}`)
        return put(remove(value, tokens(operation.from)), tokens(operation.path), moved, true)
      }
    }
  }, document)
}

function put(value: Json, path: string[], given: Json, insert: boolean): Json {
  const [token, ...rest] = path
  if (token === undefined) return given
  if (Array.isArray(value)) {
    const index = token === '-' ? value.length : Number(token)
    if (!Number.isInteger(index) || index < 0 || index > value.length) throw new RangeError(`no item ${token}`)
    if (rest.length === 0) return value.toSpliced(index, insert ? 0 : 1, given)
    return value.with(index, put(value[index] ?? null, rest, given, insert))
  }
  if (!isObject(value)) throw new RangeError(`nothing can be put at ${token}`)
  return { ...value, [token]: rest.length === 0 ? given : put(value[token] ?? null, rest, given, insert) }
}

function remove(value: Json, path: string[]): Json {
  const [token, ...rest] = path
  if (token === undefined) return null
  if (Array.isArray(value)) {
    const index = Number(token)
    if (!(index in value)) throw new RangeError(`no item ${token}`)
    return rest.length === 0 ? value.toSpliced(index, 1) : value.with(index, remove(value[index] ?? null, rest))
  }
  if (!isObject(value) || !(token in value)) throw new RangeError(`nothing is at ${token}`)
  if (rest.length > 0) return { ...value, [token]: remove(value[token] ?? null, rest) }
  const { [token]: _, ...others } = value
  return others
}
