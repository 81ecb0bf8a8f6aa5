/** How long people wait: for the first page, and for what they do. */

import type { Browser, Page } from '@playwright/test'

import { URL } from '../e2e/lab'
import { at } from '../e2e/test'
import { expect, print, report, test } from './lab'

const TRIES = 7
const PAINT_MS = 500
const INTERACTION_MS = 100

test.afterAll(print)

test('the first page', async ({ chromium, lab: _ }) => {
  const cookies = await signedIn(chromium)
  const first: number[] = []
  const useful: number[] = []
  for (let tries = 0; tries < TRIES; tries += 1) {
    // Nothing is in its cache.
    const context = await chromium.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1440, height: 900 }, storageState: { cookies, origins: [] } })
    await context.addInitScript(() => {
      // When the tiles have their numbers, and the browser has drawn them.
      const look = () => {
        const shown = [...document.querySelectorAll('.tiles strong')].some((tile) => /^[1-9]/.test(tile.textContent ?? ''))
        if (shown) requestAnimationFrame(() => setTimeout(() => ((globalThis as { useful?: number }).useful = performance.now())))
        else requestAnimationFrame(look)
      }
      look()
    })
    const page = await context.newPage()
    await page.goto(URL)
    await page.waitForFunction(() => (globalThis as { useful?: number }).useful !== undefined)
    const times = await page.evaluate(() => ({
      first: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN,
      useful: (globalThis as { useful?: number }).useful ?? NaN
    }))
    first.push(times.first)
    useful.push(times.useful)
    await context.close()
  }
  report('first contentful paint, nothing cached', first, 'ms', PAINT_MS)
  report('dashboard with live numbers, nothing cached', useful, 'ms', PAINT_MS)
})

test('the policies', async ({ chromium, lab }) => {
  const page = await at(chromium, '/ui/policies')
  await expect(page.getByText('1,000 policies')).toBeVisible()
  const grid = page.getByRole('grid')
  const search = page.getByLabel('Search in all columns')

  await measure(page, 'policies: type into the search', async (turn) => {
    await search.fill('')
    await expect(page.getByText('1,000 policies')).toBeVisible()
    await search.focus()
    return { input: () => page.keyboard.press(String(turn)), shown: `/\\d of 1,000/.test(document.querySelector('main header')?.textContent)` }
  })
  await search.fill('')
  await expect(page.getByText('1,000 policies')).toBeVisible()
  await measure(page, 'policies: to the last row', async () => {
    await grid.focus()
    await page.keyboard.press('Home')
    await expect(page.locator('tr.active')).toContainText('datagrams')
    return { input: () => page.keyboard.press('End'), shown: `document.querySelector('tr.active')?.textContent.includes('everything')` }
  })
  await measure(page, 'policies: mark all', async () => {
    await page.keyboard.press('Escape')
    await expect(page.getByText('marked')).toHaveCount(0)
    return { input: () => page.keyboard.press('Control+a'), shown: `document.querySelector('main')?.textContent.includes('1,000 marked')` }
  })
  await page.keyboard.press('Escape')
  await measure(page, 'policies: move one down', async () => {
    await expect(page.getByText('No changes')).toBeVisible()
    // What there is to commit is known before the table is drawn anew.
    await expect(async () => {
      await page.keyboard.press('Home')
      await expect(page.locator('tr.active')).toContainText('datagrams', { timeout: 500 })
    }).toPass()
    return { input: () => page.keyboard.press('Alt+ArrowDown'), shown: `document.querySelector('tr.active')?.previousElementSibling?.getAttribute('aria-rowindex') === '2'`, after: () => lab.ask('DELETE', '/api/v1/config/candidate') }
  })
  await measure(page, 'policies: open the editor', async () => {
    await page.keyboard.press('Escape')
    await expect(page.getByRole('dialog')).toHaveCount(0)
    await grid.focus()
    return { input: () => page.keyboard.press('Enter'), shown: `document.querySelector('dialog[open] form')` }
  })
  await measure(page, 'policies: find an object in the editor', async (turn) => {
    const field = page.getByRole('dialog').getByRole('combobox', { name: 'Source' })
    await field.fill('')
    await field.click()
    await expect(page.getByRole('option', { name: /^any/ })).toBeVisible()
    return {
      input: () => page.keyboard.press(String(turn)),
      shown: `[...document.querySelectorAll('[role=option]')].map((one) => one.textContent).every((text, at, all) => !text.startsWith('any') && all.some((one) => one.includes('host-')))`,
      after: () => field.fill('')
    }
  })
  await page.keyboard.press('Escape')
  await page.keyboard.press('Escape')
  await page.goto(`${URL}/ui/policies`)
  await measure(page, 'policies: as a matrix', async () => {
    await page.getByText('In order', { exact: true }).click()
    await expect(page.getByRole('grid')).toBeVisible()
    const target = page.getByText('Matrix', { exact: true })
    return { input: () => target.click(), shown: `document.querySelector('main table caption')` }
  })
  await page.context().close()
})

test('the sessions', async ({ chromium, lab: _ }) => {
  const page = await at(chromium, '/ui/policies')
  await measure(page, 'sessions: open the page', async () => {
    await page.getByRole('link', { name: 'Zones' }).click()
    await expect(page.getByRole('heading', { name: 'Zones', level: 1 })).toBeVisible()
    const link = page.getByRole('link', { name: 'Sessions', exact: true })
    return { input: () => link.click(), shown: `document.querySelector('[role=grid] tbody td.mono')` }
  })
  const grid = page.getByRole('grid')
  await measure(page, 'sessions: to the last row', async () => {
    await grid.focus()
    await page.keyboard.press('Home')
    await expect(page.locator('tr.active td.mono').first()).toBeVisible()
    // What was there before was forgotten.
    await page.reload()
    await expect(page.locator('[role=grid] tbody td.mono').first()).toBeVisible()
    await grid.focus()
    return { input: () => page.keyboard.press('End'), shown: `document.querySelector('tr.active td.mono')` }
  })
  await measure(page, 'sessions: open the details', async () => {
    await page.keyboard.press('Escape')
    await expect(page.getByRole('dialog')).toHaveCount(0)
    await grid.focus()
    await page.keyboard.press('Home')
    await expect(page.locator('tr.active td.mono').first()).toBeVisible()
    return { input: () => page.keyboard.press('Enter'), shown: `document.querySelector('dialog[open] dl')` }
  })
  await page.keyboard.press('Escape')
  await measure(page, 'sessions: filter by a port', async (turn) => {
    await page.getByLabel('Port', { exact: true }).fill('')
    await expect(page.getByText('room for')).toBeVisible()
    await page.getByLabel('Port', { exact: true }).fill(`2000`)
    await page.waitForTimeout(600)
    await page.getByLabel('Port', { exact: true }).press('End')
    return { input: () => page.keyboard.press(String(turn)), shown: `/port=2000\\d/.test(location.search) && /[1-9][\\d,]* of /.test(document.querySelector('main header')?.textContent)` }
  })
  await page.context().close()
})

/** In the page: from the next key or button on, until `found` is true and drawn. */
function watch(found: () => boolean): void {
  const window_ = globalThis as { taken?: number | undefined }
  window_.taken = undefined
  let begun = 0
  const begin = (event: Event) => {
    if (begun > 0) return
    begun = event.timeStamp
    const look = () => {
      if (!found()) requestAnimationFrame(look)
      else requestAnimationFrame(() => setTimeout(() => (window_.taken = performance.now() - begun)))
    }
    look()
  }
  for (const kind of ['keydown', 'pointerdown']) addEventListener(kind, begin, { capture: true, once: true })
}

interface Turn {
  input: () => Promise<unknown>
  /** An expression that is true when it is on the screen. */
  shown: string
  after?: () => Promise<unknown>
}

/** From the key or button, as the browser has it, until what it is for has been drawn. */
async function measure(page: Page, what: string, prepare: (turn: number) => Promise<Turn>): Promise<void> {
  const times: number[] = []
  for (let turn = 1; turn <= TRIES; turn += 1) {
    const { input, shown, after } = await prepare(turn)
    // As a text: the page's policy lets nothing be made into a function there.
    await page.evaluate(`(${watch.toString()})(() => Boolean(${shown}))`)
    await input()
    // Asked again and again from here: the page's policy lets nothing wait in it.
    const taken = () => page.evaluate(() => (globalThis as { taken?: number }).taken ?? -1)
    await expect.poll(taken).toBeGreaterThanOrEqual(0)
    times.push(await taken())
    await after?.()
  }
  report(what, times, 'ms', INTERACTION_MS)
}

async function signedIn(chromium: Browser) {
  const page = await at(chromium, '/ui/zones')
  const { cookies } = await page.context().storageState()
  await page.context().close()
  return cookies
}
