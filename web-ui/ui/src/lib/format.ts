/** Numbers, sizes, rates and times as they are shown: short, aligned, and in the user's language. */

const PREFIXES = ['', 'k', 'M', 'G', 'T', 'P', 'E']

/** Three significant digits at most, and a prefix: 0, 7, 999, 1.23 k, 45.6 M. */
export function scaled(value: number, unit = '', base = 1000): string {
  if (!Number.isFinite(value)) return '–'
  const sign = value < 0 ? '−' : ''
  let rest = Math.abs(value)
  let power = 0
  while (rest >= 999.5 && power < PREFIXES.length - 1) {
    rest /= base
    power += 1
  }
  const digits = power === 0 && Number.isInteger(rest) ? 0 : rest >= 99.95 ? 0 : rest >= 9.995 ? 1 : 2
  const prefix = power > 0 && base === 1024 ? `${PREFIXES[power]?.toUpperCase()}i` : PREFIXES[power]
  const text = rest === 0 ? '0' : rest.toFixed(digits)
  const suffix = `${prefix}${unit}`
  return suffix === '' ? `${sign}${text}` : `${sign}${text} ${suffix}`
}

export const bits = (perSecond: number) => scaled(perSecond, 'bit/s')
export const packets = (perSecond: number) => scaled(perSecond, 'p/s')
export const bytes = (count: number) => scaled(count, 'B')
export const mebibytes = (count: number) => scaled(count, 'B', 1024)
export const perSecond = (count: number) => scaled(count, '/s')

/** Making one takes a browser longer than a whole table of numbers with it. */
const wholes = new Map<string, Intl.NumberFormat>()

/** 12,345,678: for where the exact number matters. */
export function whole(value: number, language = 'en'): string {
  const format = wholes.get(language) ?? new Intl.NumberFormat(language, { maximumFractionDigits: 0 })
  wholes.set(language, format)
  return format.format(value)
}

export function percent(share: number): string {
  if (!Number.isFinite(share)) return '–'
  const value = share * 100
  if (value > 0 && value < 0.01) return '< 0.01 %'
  return `${value === 0 || value >= 99.95 || value === Math.round(value) ? Math.round(value) : value < 1 ? value.toFixed(2) : value.toFixed(1)} %`
}

const UNITS: Record<string, readonly [string, string, string, string]> = { ja: ['日', '時間', '分', '秒'] }

/** 45 s, 12 min 3 s, 5 h 2 min, 3 d 4 h; in Japanese 45 秒, 12 分 3 秒. */
export function duration(seconds: number, language = 'en'): string {
  const [days, hours, minutes, rest] = UNITS[language] ?? ['d', 'h', 'min', 's']
  const total = Math.max(0, Math.floor(seconds))
  const parts: [number, string][] = [
    [Math.floor(total / 86400), days],
    [Math.floor(total / 3600) % 24, hours],
    [Math.floor(total / 60) % 60, minutes],
    [total % 60, rest]
  ]
  const first = parts.findIndex(([count]) => count > 0)
  if (first < 0) return `0 ${rest}`
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(' ')
}

/** 0:45, 12:03, 1:00:00: for what runs down. */
export function countdown(seconds: number): string {
  const total = Math.max(0, Math.ceil(seconds))
  const two = (count: number) => String(count).padStart(2, '0')
  const [hours, minutes, rest] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60]
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`
}

const agos = new Map<string, Intl.RelativeTimeFormat>()

/** '3 minutes ago', in the language. */
export function ago(at: string | number | Date, now: number, language = 'en'): string {
  const seconds = (new Date(at).getTime() - now) / 1000
  if (!Number.isFinite(seconds)) return '–'
  const steps: [number, Intl.RelativeTimeFormatUnit][] = [
    [60, 'second'],
    [3600, 'minute'],
    [86400, 'hour'],
    [86400 * 30, 'day'],
    [86400 * 365, 'month'],
    [Infinity, 'year']
  ]
  const size: Record<string, number> = { second: 1, minute: 60, hour: 3600, day: 86400, month: 86400 * 30, year: 86400 * 365 }
  const [, unit] = steps.find(([limit]) => Math.abs(seconds) < limit) ?? [0, 'year']
  const format = agos.get(language) ?? new Intl.RelativeTimeFormat(language, { numeric: 'auto', style: 'short' })
  agos.set(language, format)
  return format.format(Math.trunc(seconds / (size[unit] ?? 1)), unit as Intl.RelativeTimeFormatUnit)
}

const two = (count: number) => String(count).padStart(2, '0')

/** 2026-03-01 14:05:09, local: sorts and aligns. */
export function moment(at: string | number | Date): string {
  const date = new Date(at)
  if (Number.isNaN(date.getTime())) return '–'
  return `${day(date)} ${clock(date)}`
}

export function day(at: string | number | Date): string {
  const date = new Date(at)
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
}

export function clock(at: string | number | Date): string {
  const date = new Date(at)
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}

/** An address and a port; IPv6 in brackets. Port 0 is none; ICMP has an identifier in its place (RFC 792). */
export function endpoint(address: string, port: number | null | undefined, protocol: string): string {
  if (!port) return address
  if (protocol === 'icmp' || protocol === 'icmpv6') return `${address} id ${port}`
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
