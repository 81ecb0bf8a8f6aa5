import { expect, test } from 'vitest'

import { place, WIDTH, type Box } from './place'

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
