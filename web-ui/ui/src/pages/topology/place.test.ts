import { expect, test } from 'vitest'

import type { Json } from '../../lib/json'
import { outerLast, outward, place, WIDTH, type Box } from './place'

const overlaps = (a: Box, b: Box) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
const zones = (counts: number[]) => counts.map((count, zone) => ({ name: `z${zone}`, interfaces: Array.from({ length: count }, (_, index) => `i${zone}-${index}`) }))

test.each([[[1, 1]], [[0]], [[4, 1, 1, 2, 0]], [[1]], [[]], [Array.from({ length: 30 }, () => 2)]])('zones of %j interfaces stand beside each other', (counts) => {
  for (const wide of [WIDTH, 700, 10]) {
    const picture = place(zones(counts), wide)
    const boxes = [...picture.zones, picture.appliance]
    boxes.forEach((one, index) => {
      expect(one.x >= 0 && one.y >= 0 && one.x + one.width <= picture.width && one.y + one.height <= picture.height).toBe(true)
      for (const other of boxes.slice(index + 1)) expect(overlaps(one, other)).toBe(false)
    })
    expect(picture.interfaces).toHaveLength(counts.reduce((sum, count) => sum + count, 0))
  }
})

test('two zones stand on either side', () => {
  const [first, second] = place(zones([1, 1])).zones
  expect(first?.x).toBe(0)
  expect((second?.x ?? 0) > WIDTH / 2).toBe(true)
})

test('a zone to which a default route leads stands at the right', () => {
  const document: Json = {
    interfaces: { lan: { addresses: ['192.0.2.1/24'] }, wan: { addresses: '198.51.100.2/30' }, backup: {}, dmz: { addresses: ['203.0.113.1/24'] } },
    routes: [{ to: '0.0.0.0/0', via: '198.51.100.1' }, { to: '::/0', interface: 'backup' }, { to: '10.0.0.0/8', via: '192.0.2.2' }]
  }
  expect([...outward(document)].sort()).toEqual(['backup', 'wan'])
  const found = outerLast([{ name: 'untrust', interfaces: ['wan'] }, { name: 'trust', interfaces: ['lan'] }, { name: 'dmz', interfaces: ['dmz'] }], outward(document))
  expect(found.map((zone) => zone.name)).toEqual(['trust', 'dmz', 'untrust'])
})
