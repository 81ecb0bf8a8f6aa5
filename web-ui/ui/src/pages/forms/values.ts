/** Between a field of the document and what its control holds. */

import { word } from '../../i18n/index.svelte'
import { list, text, words } from '../../lib/document'
import { isObject, type Json, type JsonObject } from '../../lib/json'

/** One term of an application: another application's name, or conditions. */
export interface Term {
  /** Empty where there are conditions. */
  name: string
  protocol: string
  destination: string
  source: string
  kind: string
  code: string
  timeout: string
}

export function readTerm(value: Json): Term {
  const empty: Term = { name: '', protocol: '', destination: '', source: '', kind: '', code: '', timeout: '' }
  if (!isObject(value)) return { ...empty, name: text(value) }
  return {
    ...empty,
    protocol: text(value['protocol']),
    destination: words(value['destination-port']).join(', '),
    source: words(value['source-port']).join(', '),
    kind: text(value['icmp-type']),
    code: text(value['icmp-code']),
    timeout: text(value['idle-timeout'])
  }
}

export function writtenTerm(term: Term): Json {
  if (term.name) return term.name
  const value: JsonObject = { protocol: term.protocol }
  if (term.destination.trim()) value['destination-port'] = ports(term.destination)
  if (term.source.trim()) value['source-port'] = ports(term.source)
  if (term.kind.trim()) value['icmp-type'] = number(term.kind)
  if (term.code.trim()) value['icmp-code'] = number(term.code)
  if (term.timeout.trim()) value['idle-timeout'] = term.timeout.trim()
  return value
}

function ports(typed: string): Json[] {
  return typed
    .split(/[\s,]+/)
    .filter(Boolean)
    .map(number)
}

/** A number, or what was typed: the appliance says what is wrong with it. */
export function number(typed: string): Json {
  const trimmed = typed.trim()
  return /^\d{1,9}$/.test(trimmed) ? Number(trimmed) : trimmed
}

export interface Window {
  days: string
  from: string
  to: string
}

export function readWindow(value: Json): Window {
  const window = isObject(value) ? value : {}
  return { days: words(window['days']).join(', '), from: text(window['from']), to: text(window['to']) }
}

export function writtenWindow(window: Window): Json {
  const days = window.days.split(/[\s,]+/).filter(Boolean)
  return {
    ...(days.length > 0 ? { days } : {}),
    ...(window.from.trim() ? { from: window.from.trim() } : {}),
    ...(window.to.trim() ? { to: window.to.trim() } : {})
  }
}

/** In a few words, for tables. */
export function shown(value: Json | undefined): string {
  return list(value)
    .map((one) => {
      if (!isObject(one)) return text(one)
      const entries = Object.entries(one)
      if (entries.length === 1 && 'pool' in one) return `pool ${text(one['pool'])}`
      if ('protocol' in one) {
        const term = readTerm(one)
        return [term.protocol, term.destination, term.source && `from ${term.source}`, term.kind && `type ${term.kind}`].filter(Boolean).join(' ')
      }
      if ('days' in one || ('from' in one && 'to' in one)) {
        const { days, from, to } = readWindow(one)
        return [days.replace(/\b[a-z]{3}\b/g, (day) => word('day', day)), from && `${from}–${to}`].filter(Boolean).join(' ')
      }
      if ('to' in one && !('from' in one) && !('days' in one)) return `${text(one['to'])}${one['port'] ? ` : ${text(one['port'])}` : ''}`
      return Object.values(one).map(shown).join(' ')
    })
    .join(', ')
}
