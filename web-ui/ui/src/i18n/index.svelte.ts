/** Every text that is shown, in the user's language. English is always there; another language is loaded when it is chosen. */

import { en } from './en'
import type { Translator } from './said'

export type Key = keyof typeof en
export type Catalogue = Record<Key, string>
export type Language = 'en' | 'ja'

const STORED = 'palisade-language'

let texts: Catalogue = $state.raw(en)
let translations: Translator | undefined = $state.raw()
let language: Language = $state('en')

export const locale = {
  get language() {
    return language
  }
}

/** The text of `key`, with `{name}` replaced. Values are text: nothing here makes markup. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return texts[key].replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole))
}

/** Of a word that may not be in the catalogue, such as a reason of a newer appliance: itself. */
export function word(prefix: string, name: string): string {
  const key = `${prefix}.${name}`
  return key in texts ? texts[key as Key] : name
}

/** `key.one` or `key.other`, by the language's rules. */
export function count(key: string, number: number, shown: string = new Intl.NumberFormat(language).format(number)): string {
  const form = new Intl.PluralRules(language).select(number) === 'one' ? 'one' : 'other'
  return t(`${key}.${form}` as Key, { count: shown })
}

/** Of a text that the appliance or the description of its API has in English: as it is, where nobody has translated it. */
export function translated(english: string): string {
  return translations?.(english) ?? english
}

export async function choose(chosen: Language): Promise<void> {
  if (chosen === 'ja') {
    const [japanese, { translator }, appliance] = await Promise.all([import('./ja'), import('./said'), import('./said/ja')])
    texts = japanese.ja
    translations = translator({ ...japanese.descriptions, ...appliance.sentences })
  } else {
    texts = en
    translations = undefined
  }
  language = chosen
  document.documentElement.lang = chosen
  try {
    localStorage.setItem(STORED, chosen)
  } catch {
    // A browser that stores nothing asks again next time.
  }
}

/** What was chosen before, else what the browser prefers. */
export function preferred(): Language {
  let stored: string | null = null
  try {
    stored = localStorage.getItem(STORED)
  } catch {
    // As above.
  }
  if (stored === 'en' || stored === 'ja') return stored
  return navigator.languages.some((tag) => tag.startsWith('en'))
    ? navigator.language.startsWith('ja')
      ? 'ja'
      : 'en'
    : navigator.languages.some((tag) => tag.startsWith('ja'))
      ? 'ja'
      : 'en'
}
