/** What people type for a time or an amount, as the API takes it. What is neither stays as it is: the API says what is wrong with it. */

/** `2026-11-27 23:35`, as times are shown here, is local; the API has an offset with each. */
export function instant(typed: string): string {
  const text = typed.trim()
  if (!/^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?)?$/.test(text)) return typed
  // Without a time, it would be taken for midnight in UTC.
  const at = new Date(text.length === 10 ? `${text}T00:00` : text.replace(' ', 'T'))
  return Number.isNaN(at.getTime()) ? typed : at.toISOString()
}

const POWERS = ['', 'k', 'm', 'g', 't']

/** `1MB`, `1.5 k`, `1GiB`: in bytes. */
export function byteCount(typed: string): string {
  const [, number, prefix = '', binary] = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?$/i.exec(typed.trim()) ?? []
  if (number === undefined || (binary && prefix === '')) return typed
  return String(Math.round(Number(number) * (binary ? 1024 : 1000) ** POWERS.indexOf(prefix.toLowerCase())))
}
