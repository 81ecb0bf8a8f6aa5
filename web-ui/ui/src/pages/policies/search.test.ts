import { expect, test } from 'vitest'

import { filtered, rows } from './rows'
import type { Objects } from './search'

const all = rows(
  {
    policies: [
      { name: 'printing', source: 'printers', application: 'jobs' },
      { name: 'office', source: ['floor'], application: 'web' },
      { name: 'others', source: 'others', application: 'any' },
      { name: 'literal', destination: '2001:db8::/32', application: 'proxies' }
    ]
  },
  [],
  [],
  []
)
const objects: Objects = {
  addresses: [
    { name: 'floor', items: ['printers', '198.51.100.0/24'] },
    { name: 'printers', items: ['192.0.2.64-192.0.2.70', 'fqdn:printer.example.com'] },
    { name: 'others', items: ['203.0.113.0/24', 'not:192.0.2.66'] }
  ],
  applications: [
    { name: 'jobs', items: ['tcp 631, 9100-9107'] },
    { name: 'proxies', items: ['tcp 8080-8081 from 1024-65535', 'icmp type 8 code 0'] },
    { name: 'web', items: ['http', 'https'] },
    { name: 'http', items: ['tcp 80'] }
  ]
}
const found = (text: string) => filtered(all, { text, from: '', to: '', action: '', state: '' }, objects).map((row) => row.name)

test('an address finds the policies whose objects hold it, objects in objects, too', () => {
  expect(found('192.0.2.66')).toEqual(['printing', 'office'])
  expect(found('198.51.100.0/25')).toEqual(['office'])
  expect(found('2001:db8:1::7')).toEqual(['literal'])
  expect(found('192.0.2.1')).toEqual([])
})

test('a port finds the policies whose applications have it', () => {
  expect(found('8081')).toEqual(['literal'])
  expect(found('9104')).toEqual(['printing'])
  expect(found('80')).toEqual(['office'])
  expect(found('8082')).toEqual([])
})

test('text finds what objects are written with, beside other words', () => {
  expect(found('printer.example')).toEqual(['printing', 'office'])
  expect(found('printer.example 9100')).toEqual(['printing'])
})
