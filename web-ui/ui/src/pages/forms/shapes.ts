/**
 * What each kind of thing in the configuration is made of, as its form asks for it. Policies have a form of their own; what the
 * schema has and is not here is asked for by the schema.
 */

import type { Key } from '../../i18n/index.svelte'
import { addresses, applications, named, zones, type Suggestion } from '../../lib/completion.svelte'
import { CONTENT, isKnown, keyOf, shapeOf, type KnownSection, type Section } from '../../lib/document'
import { controlAt, fieldsAt, type Field } from '../../lib/schema'

export type FieldShape = {
  name: string
  label: Key
  hint?: Key
  required?: boolean
} & (
  | { kind: 'text'; mono?: boolean; suggestions?: () => string[] }
  | { kind: 'number'; least: number; most: number }
  | { kind: 'words'; suggestions?: () => Suggestion[]; closed?: boolean; placeholder?: Key }
  | { kind: 'choice'; options: () => { value: string; label?: Key }[]; empty?: Key }
  /** Terms of an application. */
  | { kind: 'terms' }
  /** Windows of a schedule. */
  | { kind: 'windows' }
  /** `interface`, `none` or a pool. */
  | { kind: 'translation' }
  /** An address, and perhaps a port. */
  | { kind: 'target' }
)

export interface ItemShape {
  fields: FieldShape[]
}

const description: FieldShape = { name: 'description', label: 'description', kind: 'text' }
const from: FieldShape = { name: 'from', label: 'policy.from', kind: 'words', closed: true, required: true, suggestions: () => zones(['any']) }
const free = (name: string, label: Key, hint?: Key): FieldShape => ({ name, label, ...(hint ? { hint } : {}), kind: 'words', required: true })

export const FORMS: Record<Exclude<KnownSection, 'policies'>, ItemShape> = {
  interfaces: {
    fields: [
      { name: 'device', label: 'interface.device', hint: 'interface.deviceHint', kind: 'text', mono: true, required: true },
      { name: 'addresses', label: 'interface.addresses', hint: 'interface.addressesHint', kind: 'words' },
      { name: 'vlan', label: 'interface.vlan', hint: 'interface.vlanHint', kind: 'number', least: 1, most: 4094 },
      {
        name: 'attach',
        label: 'interface.attach',
        hint: 'interface.attachHint',
        kind: 'choice',
        options: () => [{ value: 'tc' }, { value: 'xdp' }],
        empty: 'interface.auto'
      },
      description
    ]
  },
  zones: {
    fields: [
      { name: 'interfaces', label: 'page.interfaces', kind: 'words', closed: true, suggestions: () => named('interfaces') },
      {
        name: 'host-inbound',
        label: 'zone.hostInbound',
        hint: 'zone.hostInboundHint',
        kind: 'words',
        closed: true,
        suggestions: () => [{ value: 'management', note: '' }, ...applications()]
      },
      description
    ]
  },
  addresses: {
    fields: [{ name: 'addresses', label: 'object.items', hint: 'object.itemsHint', kind: 'words', required: true, suggestions: () => addresses(false) }]
  },
  applications: {
    fields: [{ name: 'terms', label: 'application.terms', hint: 'application.termsHint', kind: 'terms', required: true }]
  },
  schedules: {
    fields: [
      { name: 'time-zone', label: 'schedule.zone', hint: 'schedule.zoneHint', kind: 'text', suggestions: () => Intl.supportedValuesOf('timeZone') },
      { name: 'weekly', label: 'schedule.weekly', hint: 'schedule.weeklyHint', kind: 'windows' },
      { name: 'dates', label: 'schedule.dates', hint: 'schedule.datesHint', kind: 'words' },
      description
    ]
  },
  feeds: {
    fields: [
      { name: 'url', label: 'feed.url', hint: 'feed.urlHint', kind: 'text', mono: true },
      { name: 'file', label: 'feed.file', hint: 'feed.fileHint', kind: 'text', mono: true },
      { name: 'refresh', label: 'feed.refresh', hint: 'feed.refreshHint', kind: 'text' },
      { name: 'at-least', label: 'feed.least', kind: 'number', least: 0, most: 1_000_000 },
      { name: 'at-most', label: 'feed.most', kind: 'number', least: 1, most: 1_000_000 },
      { name: 'most-change', label: 'feed.change', hint: 'feed.changeHint', kind: 'text' },
      { name: 'allow', label: 'feed.allow', hint: 'feed.allowHint', kind: 'words', closed: true, suggestions: () => ['private', 'wide'].map((value) => ({ value, note: '' })) },
      { name: 'ca-file', label: 'feed.ca', hint: 'feed.caHint', kind: 'text', mono: true },
      description
    ]
  },
  pools: {
    fields: [
      free('addresses', 'pool.addresses', 'pool.addressesHint'),
      { name: 'ports', label: 'pool.ports', hint: 'pool.portsHint', kind: 'text', mono: true }
    ]
  },
  source: {
    fields: [
      from,
      { name: 'to', label: 'policy.to', kind: 'words', closed: true, required: true, suggestions: () => zones(['any']) },
      { name: 'source', label: 'policy.source', hint: 'policy.addressHint', kind: 'words', required: true, suggestions: () => addresses() },
      { name: 'destination', label: 'policy.destination', kind: 'words', suggestions: () => addresses(), placeholder: 'any' },
      { name: 'translate', label: 'nat.translate', kind: 'translation', required: true }
    ]
  },
  destination: {
    fields: [
      from,
      { name: 'destination', label: 'nat.destination', hint: 'nat.destinationHint', kind: 'text', mono: true, required: true },
      { name: 'protocol', label: 'protocol', kind: 'choice', options: () => [{ value: 'tcp' }, { value: 'udp' }], empty: 'any' },
      { name: 'port', label: 'port', kind: 'number', least: 1, most: 65535 },
      { name: 'source', label: 'policy.source', kind: 'words', suggestions: () => addresses(), placeholder: 'any' },
      { name: 'translate', label: 'nat.translateTo', kind: 'target', required: true }
    ]
  },
  static: {
    fields: [
      from,
      { name: 'outside', label: 'nat.outside', hint: 'nat.staticHint', kind: 'text', mono: true, required: true },
      { name: 'inside', label: 'nat.inside', kind: 'text', mono: true, required: true }
    ]
  },
  routes: {
    fields: [
      { name: 'via', label: 'route.via', hint: 'route.viaHint', kind: 'text', mono: true },
      { name: 'interface', label: 'interface', kind: 'choice', options: () => named('interfaces'), empty: 'route.byNextHop' }
    ]
  }
}

/** The fields of a form; none of a section that no form was written for. */
export function fieldsOf(section: Section): FieldShape[] {
  return isKnown(section) && section !== 'policies' ? FORMS[section].fields : []
}

/** Those that the schema has besides. */
export function furtherFields(section: Section, known: readonly string[] = fieldsOf(section).map((field) => field.name)): Field[] {
  const { path, content } = shapeOf(section)
  if (isKnown(section)) {
    return content === undefined ? fieldsAt(path).filter(({ name }) => name !== keyOf(section) && !known.includes(name)) : []
  }
  const control = controlAt(path)
  if (content !== undefined && control?.kind === 'map') return [{ name: CONTENT, control: control.of, required: true, hint: '' }]
  return fieldsAt(path).filter(({ name }) => name !== keyOf(section))
}
