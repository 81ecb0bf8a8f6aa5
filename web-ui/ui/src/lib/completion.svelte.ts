/** What can be written where a policy or a rule takes names: objects of the candidate, and what is built in. */

import { candidate } from '../api/candidate.svelte'
import { api, asked } from '../api/client'
import { t, word } from '../i18n/index.svelte'
import { items, text, words, type Section } from './document'
import { tokens } from './json'

export interface Suggestion {
  value: string
  /** What it is, in a few words. */
  note: string
}

interface BuiltIn {
  name: string
  description: string
  category: string
  terms: string[]
  members: string[]
}

/** A protocol, or a service, which has a category. */
interface Content {
  name: string
  title: string
  category?: string | null
}

let builtIn: BuiltIn[] = $state.raw([])
let contents: Content[] = $state.raw([])
let asking: Promise<void> | undefined

/** They never change while the appliance runs. */
export function loadBuiltIn(): Promise<void> {
  asking ??= Promise.all([asked(api.GET('/api/v1/applications')), asked(api.GET('/api/v1/services'))]).then(
    ([applications, services]) => {
      builtIn = applications
      contents = services
    },
    () => {
      asking = undefined
    }
  )
  return asking
}

export const catalogue = {
  get builtIn() {
    return builtIn
  }
}

const ANY = (): Suggestion => ({ value: 'any', note: t('any') })

export function zones(extra: ('any' | 'host')[]): Suggestion[] {
  return [
    ...(extra.includes('any') ? [ANY()] : []),
    ...(extra.includes('host') ? [{ value: 'host', note: t('zone.host') }] : []),
    ...items(candidate.document, 'zones').map((zone) => ({ value: zone.name, note: words(zone['interfaces']).join(', ') }))
  ]
}

export function addresses(any = true): Suggestion[] {
  return [
    ...(any ? [ANY()] : []),
    ...items(candidate.document, 'addresses').map((object) => ({ value: object.name, note: words(object['addresses']).join(', ') })),
    ...items(candidate.document, 'feeds').map((feed) => ({ value: `feed:${feed.name}`, note: text(feed['description']) || word('section', 'feeds') }))
  ]
}

export function applications(any = true): Suggestion[] {
  const own = items(candidate.document, 'applications')
  const names = new Set(own.map((one) => one.name))
  return [
    ...(any ? [ANY()] : []),
    ...own.map((one) => ({ value: one.name, note: termsInWords(one['terms']) })),
    ...builtIn.filter((one) => !names.has(one.name)).map((one) => ({ value: one.name, note: one.terms.join('; ') || one.members.join(', ') }))
  ]
}

/** Each name once, whatever is edited at the moment. */
export function named(section: Section): Suggestion[] {
  const all = items(candidate.document, section).map((item): [string, Suggestion] => [item.name, { value: item.name, note: text(item['description']) }])
  return [...new Map(all).values()]
}

/** What a session may turn out to carry: protocols, and services, one's own first. */
export function contentNames(): Suggestion[] {
  const own = items(candidate.document, '/services').map((one): Suggestion => ({ value: one.name, note: text(one['title']) || text(one['category']) }))
  const names = new Set(own.map((one) => one.value))
  return [
    ...own,
    ...contents.filter((one) => !names.has(one.name)).map(({ name, title, category }) => ({ value: name, note: category ? `${title} · ${category}` : title }))
  ]
}

/** Of services, each with those that are in it. */
export function categories(): Suggestion[] {
  const members = new Map<string, string[]>()
  const add = (category: string, title: string) => members.set(category, [...(members.get(category) ?? []), title])
  for (const { title, category } of contents) if (category) add(category, title)
  for (const one of items(candidate.document, '/services')) if (text(one['category'])) add(text(one['category']), text(one['title']) || one.name)
  return [...members].sort(([a], [b]) => a.localeCompare(b)).map(([value, titles]) => ({ value, note: titles.join(', ') }))
}

/** RFC 9110, section 9, and RFC 5789. */
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE']
const TLS_VERSIONS = ['1.0', '1.1', '1.2', '1.3']

/** For a field that no form was written for, by where it is in what is edited: `/l7/host`. */
export function suggested(path: string): Suggestion[] {
  const [outer, name = outer] = tokens(path)
  if (name === 'category' || name === 'categories') return categories()
  if (outer === 'l7') {
    if (name === 'application') return contentNames()
    const known = name === 'method' ? METHODS : name === 'tls-version' ? TLS_VERSIONS : []
    return known.map((value) => ({ value, note: '' }))
  }
  switch (name) {
    case 'zone':
    case 'zones':
    case 'from':
    case 'to':
      return zones(['any'])
    case 'source':
    case 'destination':
      return addresses()
    case 'application':
    case 'applications':
      return applications()
    case 'interface':
    case 'interfaces':
      return named('interfaces')
    case 'schedule':
      return named('schedules')
    case 'inspect':
      return named('/inspection')
    case 'block':
    case 'allow':
      return outer === 'url-filter' || outer === 'dns-filter' ? named('/url-lists') : []
    default:
      return []
  }
}

function termsInWords(terms: unknown): string {
  return (Array.isArray(terms) ? terms : [])
    .map((term: unknown) => {
      if (typeof term !== 'object' || term === null) return String(term)
      const { protocol, 'destination-port': port } = term as Record<string, unknown>
      return [protocol, Array.isArray(port) ? port.join(', ') : port].filter((part) => part !== undefined).join(' ')
    })
    .join('; ')
}
