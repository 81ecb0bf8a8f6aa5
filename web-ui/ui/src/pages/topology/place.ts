/** Where zones and interfaces stand in the picture: half of the zones on either side of the appliance. */

import { covers, span } from '../../lib/addresses'
import { items, text, words } from '../../lib/document'
import type { Json } from '../../lib/json'

export interface Box {
  x: number
  y: number
  width: number
  height: number
}

export interface Placed extends Box {
  name: string
  /** From the interface to the appliance. */
  line: [number, number, number, number]
}

export interface Picture {
  width: number
  height: number
  appliance: Box
  zones: (Box & { name: string; empty: boolean })[]
  interfaces: Placed[]
}

/** At most, and at least: narrower, it is scrolled. */
export const WIDTH = 980
export const LEAST_WIDTH = 640
const SIDE = 320
const APPLIANCE = 160
/** Between a zone and the appliance, for the lines. */
const LINES = 60
const TITLE = 34
const INTERFACE = 72
const GAP = 10
const BETWEEN = 18
const EMPTY = 28

export function place(zones: readonly { name: string; interfaces: readonly string[] }[], wide: number = WIDTH): Picture {
  const width = Math.max(LEAST_WIDTH, Math.min(WIDTH, wide))
  const side = Math.min(SIDE, (width - APPLIANCE) / 2 - LINES)
  const heights = zones.map((zone) => TITLE + (zone.interfaces.length === 0 ? EMPTY : zone.interfaces.length * (INTERFACE + GAP)) + GAP)
  const isLeft = sides(heights)
  const tall = (left: boolean) =>
    heights.reduce((sum, height, index) => (isLeft[index] === left ? sum + height + BETWEEN : sum), -BETWEEN)
  const height = Math.max(220, tall(true), tall(false))
  const appliance: Box = { x: (width - APPLIANCE) / 2, y: height / 2 - 70, width: APPLIANCE, height: 140 }
  const picture: Picture = { width, height, appliance, zones: [], interfaces: [] }
  const next = { left: (height - tall(true)) / 2, right: (height - tall(false)) / 2 }
  zones.forEach((zone, index) => {
    const left = isLeft[index] ?? true
    const column = left ? 'left' : 'right'
    const [x, y, tallness] = [left ? 0 : width - side, next[column], heights[index] ?? 0]
    next[column] += tallness + BETWEEN
    picture.zones.push({ name: zone.name, x, y, width: side, height: tallness, empty: zone.interfaces.length === 0 })
    zone.interfaces.forEach((name, at) => {
      const box: Box = { x: x + 12, y: y + TITLE + at * (INTERFACE + GAP), width: side - 24, height: INTERFACE }
      const middle = box.y + INTERFACE / 2
      const end = left ? appliance.x : appliance.x + appliance.width
      // Straight, where the appliance is as high.
      const meets = Math.max(appliance.y + 16, Math.min(appliance.y + appliance.height - 16, middle))
      picture.interfaces.push({ name, ...box, line: [left ? box.x + box.width : box.x, middle, end, meets] })
    })
  })
  return picture
}

/** The interfaces that the default routes of a configuration leave by. */
export function outward(document: Json): Set<string> {
  const networks = items(document, 'interfaces').flatMap(({ name, addresses }) => words(addresses).map((address) => ({ name, network: span(address) })))
  const ways = items(document, 'routes').filter((route) => ['0.0.0.0/0', '::/0'].includes(route.name))
  return new Set(
    ways.flatMap((route) => {
      const via = span(text(route['via']))
      const named = text(route['interface'])
      return named ? [named] : networks.filter(({ network }) => via && network && covers(network, via)).map(({ name }) => name)
    })
  )
}

/** Those to which a default route leads stand at the right, as in most people's drawings. */
export function outerLast<T extends { interfaces: readonly string[] }>(zones: readonly T[], outward: ReadonlySet<string>): T[] {
  const isOuter = (zone: T) => zone.interfaces.some((name) => outward.has(name))
  return [...zones.filter((zone) => !isOuter(zone)), ...zones.filter(isOuter)]
}

/** Whether each is at the left: in their order, about as much on the one side as on the other. */
function sides(heights: readonly number[]): boolean[] {
  const all = heights.reduce((sum, height) => sum + height, 0)
  let before = 0
  return heights.map((height) => {
    const left = before + height / 2 <= all / 2
    before += height
    return left
  })
}
