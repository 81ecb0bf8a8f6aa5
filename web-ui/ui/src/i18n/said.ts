/**
 * What the appliance says in its own words, in another language. Its sentences are keys, with `{name}` where it puts in
 * what stays as it is, and `{=name}` where it puts in words of its own, which are looked up in turn.
 */

export type Sentences = Record<string, string>
/** Undefined: nobody has translated it. */
export type Translator = (sentence: string) => string | undefined

const PLACE = /\{(=?)(\w+)\}/g

/** Sentences within sentences are few; one that is in itself would have no end. */
const DEEPEST = 4
/** A longer one is no sentence, and expressions with several places would look through it for long. */
const MOST_CHARACTERS = 2_000

interface Pattern {
  expression: RegExp
  /** The longest of the texts between places: what lacks it is not worth the expression. */
  needle: string
  /** Of all texts between places: who has more says more precisely what was meant. */
  certain: number
  places: { name: string; isSaid: boolean }[]
  spoken: string
}

export function translator(sentences: Sentences): Translator {
  const whole = new Map<string, string>()
  const patterns: Pattern[] = []
  for (const [key, spoken] of Object.entries(sentences)) {
    const places = [...key.matchAll(PLACE)].map(([, said, name]) => ({ name: name!, isSaid: said === '=' }))
    if (places.length === 0) {
      whole.set(key, spoken)
      continue
    }
    const texts = key.split(/\{=?\w+\}/)
    patterns.push({
      expression: new RegExp(`^${texts.map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('(.*?)')}$`, 's'),
      needle: texts.reduce((longest, text) => (text.length > longest.length ? text : longest)),
      certain: texts.join('').length,
      places,
      spoken
    })
  }
  patterns.sort((one, other) => other.certain - one.certain)

  const say = (text: string, depth: number): string | undefined => {
    const found = whole.get(text)
    if (found !== undefined || depth === DEEPEST) return found
    for (const { expression, needle, places, spoken } of patterns) {
      const values = text.includes(needle) && expression.exec(text)
      if (!values) continue
      const said = new Map(places.map(({ name, isSaid }, at) => [name, isSaid ? (say(values[at + 1]!, depth + 1) ?? values[at + 1]!) : values[at + 1]!]))
      return spoken.replace(PLACE, (place, _, name: string) => said.get(name) ?? place)
    }
    return undefined
  }
  return (sentence) => (sentence.length > MOST_CHARACTERS ? undefined : say(sentence, 0))
}
