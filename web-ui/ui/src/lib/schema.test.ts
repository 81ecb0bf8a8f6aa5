import { expect, test, vi } from 'vitest'

// A document with a section that no page was written for.
vi.mock('virtual:document-schema', () => ({
  default: {
    Document: {
      type: 'object',
      properties: {
        version: { type: ['integer', 'null'] },
        system: { $ref: 'System' },
        policies: { type: 'array', items: { $ref: 'Policy' } },
        inspection: { $ref: 'Inspection' },
        lists: { type: 'object', additionalProperties: { type: 'array', items: { type: 'string' } } }
      }
    },
    System: { type: 'object', properties: { mode: { oneOf: [{ $ref: 'Mode' }, { type: 'null' }] } } },
    Mode: { type: 'string', enum: ['routing', 'wire'] },
    Policy: { type: 'object', required: ['name'], properties: { name: { type: 'string' }, l7: { oneOf: [{ type: 'null' }, { $ref: 'L7' }] } } },
    L7: { type: 'object', properties: { host: { type: 'array', items: { type: 'string' }, description: 'Names.' }, risk: { type: ['integer', 'null'], minimum: 1, maximum: 5 } } },
    Inspection: {
      type: 'object',
      properties: {
        depth: { type: ['string', 'null'] },
        profiles: { type: 'object', additionalProperties: { $ref: 'Profile' } },
        rules: { type: 'array', items: { type: 'object', properties: { name: { type: 'string' }, on: { type: 'boolean' } } } }
      }
    },
    Profile: {
      type: 'object',
      required: ['action'],
      properties: {
        action: { oneOf: [{ type: 'string', enum: ['alert'] }, { type: 'string', enum: ['drop'] }, { type: 'object', required: ['sinkhole'], properties: { sinkhole: { type: 'string' } } }] },
        log: { type: 'array', items: { type: 'string', enum: ['all', 'none'] } },
        inner: { $ref: 'Profile' }
      }
    }
  }
}))

// What the router looks at when it is loaded.
vi.stubGlobal('location', new URL('https://192.0.2.1/'))

const { controlAt, fieldsAt } = await import('./schema')
const { FURTHER, SECTIONS, WHOLES, items, shapeOf } = await import('./document')
const { changes } = await import('./changes')
const { create, change } = await import('./edits')
const { apply } = await import('./json')
const { pointerHref, userOf } = await import('./links')

test('sections that no page was written for are found, with their tables', () => {
  expect(FURTHER).toEqual(['inspection', 'lists'])
  expect(SECTIONS.filter((section) => section.startsWith('/'))).toEqual(['/inspection/profiles', '/inspection/rules', '/lists'])
  expect(WHOLES).toContain('inspection')
  expect(WHOLES).not.toContain('lists')
  expect(shapeOf('/inspection/rules')).toMatchObject({ ordered: true })
  expect(shapeOf('/lists')).toMatchObject({ ordered: false, content: 'content' })
})

test('what may be nothing, one of some words, or an object is told apart', () => {
  expect(controlAt('/system/mode')).toEqual({ kind: 'choice', options: ['routing', 'wire'] })
  expect(fieldsAt('/policies').find((field) => field.name === 'l7')?.control).toEqual({
    kind: 'group',
    fields: [
      { name: 'host', control: { kind: 'words', options: [] }, required: false, hint: 'Names.' },
      { name: 'risk', control: { kind: 'number', least: 1, most: 5 }, required: false, hint: '' }
    ]
  })
  const [action, log, inner] = fieldsAt('/inspection/profiles')
  expect(action?.control).toEqual({
    kind: 'either',
    of: [
      { kind: 'choice', options: ['alert', 'drop'] },
      { kind: 'group', fields: [{ name: 'sinkhole', control: { kind: 'text' }, required: true, hint: '' }] }
    ]
  })
  expect(log?.control).toEqual({ kind: 'words', options: ['all', 'none'] })
  // One that holds itself ends.
  expect(inner?.control).toEqual({ kind: 'json' })
})

test('things in such sections are made, changed, compared and found like all others', () => {
  const before = { inspection: { depth: '64KiB', rules: [{ name: 'a' }] }, lists: { bad: 'example.com' } }
  expect(items(before, '/lists')).toEqual([{ name: 'bad', content: 'example.com' }])
  let after = apply(before, create(before, '/inspection/profiles', { name: 'strict', action: 'drop' }))
  after = apply(after, change(after, '/inspection/rules', 'a', { name: 'a', on: true }))
  after = apply(after, create(after, '/lists', { name: 'good', content: ['example.net', 'example.org'] }))
  expect(after).toEqual({
    inspection: { depth: '64KiB', rules: [{ name: 'a', on: true }], profiles: { strict: { action: 'drop' } } },
    lists: { bad: 'example.com', good: ['example.net', 'example.org'] }
  })
  after = apply(after, [{ op: 'replace', path: '/inspection/depth', value: '1MiB' }])
  expect(changes(before, after)).toEqual([
    { section: '/inspection/profiles', name: 'strict', kind: 'added', fields: [] },
    { section: '/inspection/rules', name: 'a', kind: 'changed', fields: ['on'] },
    { section: '/lists', name: 'good', kind: 'added', fields: [] },
    { section: 'inspection', name: '', kind: 'changed', fields: ['depth'] }
  ])
  expect(pointerHref(after, '/inspection/profiles/strict/action')).toBe('/ui/inspection?section=%2Finspection%2Fprofiles&edit=strict&field=action')
  expect(pointerHref(after, '/inspection/depth')).toBe('/ui/inspection?field=inspection.depth')
  expect(pointerHref(after, '/system/mode')).toBe('/ui/system?field=system.mode')
})

test('who uses an object is found by what the API says of it', () => {
  expect(userOf('policy web-out')).toEqual({ section: 'policies', name: 'web-out' })
  expect(userOf('nat source internet')).toEqual({ section: 'source', name: 'internet' })
  expect(userOf('address lan')).toEqual({ section: 'addresses', name: 'lan' })
  expect(userOf('something else')).toBeUndefined()
  expect(userOf('policy')).toBeUndefined()
})
