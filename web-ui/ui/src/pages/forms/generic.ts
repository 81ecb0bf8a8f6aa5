/** Between values and the controls that their schema asks for. */

import { word } from '../../i18n/index.svelte'
import { isObject, type Json } from '../../lib/json'
import { fieldName, optionName } from '../../lib/names'
import type { Control } from '../../lib/schema'

/** What a new value begins as. */
export function begin(control: Control): Json {
  switch (control.kind) {
    case 'text':
    case 'json':
      return ''
    case 'number':
      return control.least ?? 0
    case 'flag':
      return false
    case 'choice':
      return control.options[0] ?? ''
    case 'words':
    case 'list':
      return []
    case 'map':
    case 'group':
      return {}
    case 'either':
      return control.of[0] ? begin(control.of[0]) : ''
  }
}

/** Which of several a value is; -1 for none. */
export function alternative(of: readonly Control[], value: Json | undefined): number {
  if (value === undefined || value === null) return -1
  const first = of.findIndex((control) => fits(control, value, true))
  return first >= 0 ? first : of.findIndex((control) => fits(control, value, false))
}

/** `exactly`: with the fields that it has, or a word that is one of those. */
function fits(control: Control, value: Json, exactly: boolean): boolean {
  switch (control.kind) {
    case 'text':
      return typeof value === 'string' || typeof value === 'number'
    case 'number':
      return typeof value === 'number'
    case 'flag':
      return typeof value === 'boolean'
    case 'choice':
      return typeof value === 'string' && (!exactly || control.options.includes(value))
    case 'words':
    case 'list':
      return Array.isArray(value)
    case 'map':
      return isObject(value)
    case 'group':
      return isObject(value) && (!exactly || Object.keys(value).every((name) => control.fields.some((field) => field.name === name)))
    case 'either':
      return alternative(control.of, value) >= 0
    case 'json':
      return !exactly
  }
}

/** One of several, told apart. */
export function kindName(control: Control): string {
  if (control.kind === 'choice') return control.options.map(optionName).join(' / ')
  if (control.kind === 'group') return control.fields.filter((field) => field.required).map((field) => fieldName(field.name)).join(', ') || word('control', 'group')
  return word('control', control.kind)
}

/** What was typed: a number, where there was one before. */
export function typed(written: string, before: Json | undefined): Json | undefined {
  const trimmed = written.trim()
  if (trimmed === '') return undefined
  return typeof before === 'number' && /^-?\d{1,15}(\.\d+)?$/.test(trimmed) ? Number(trimmed) : written
}
