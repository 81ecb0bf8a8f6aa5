/** The lab, the browser, and what is done over and over. */

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'

import { AxeBuilder } from '@axe-core/playwright'
import { expect, test as base, type Browser, type Page } from '@playwright/test'

import { Lab, obstacle, SHOTS, URL } from './lab'

interface Shared {
  /** Files of different stories have an appliance each. */
  story: string
  lab: Lab
  chromium: Browser
}

export const test = base.extend<object, Shared>({
  story: ['', { option: true, scope: 'worker' }],
  lab: [
    async ({}, use) => {
      const lab = await Lab.start()
      await use(lab)
      await lab.stop()
    },
    { scope: 'worker', timeout: 120_000 }
  ],
  chromium: [
    async ({ lab }, use) => {
      const browser = await lab.browser()
      await use(browser)
      await browser.close()
    },
    { scope: 'worker', timeout: 60_000 }
  ]
})

const why = obstacle()
if (why) console.log(`SKIPPED: the browser's tests: ${why}`)
test.skip(why !== undefined, why ?? '')

export const PASSWORD = 'correct horse battery staple'

/** A window of its own, whose errors are the test's. */
export async function open(chromium: Browser, path = '/', more: { dark?: boolean; language?: string } = {}): Promise<Page> {
  const context = await chromium.newContext({
    ignoreHTTPSErrors: true,
    viewport: { width: 1440, height: 900 },
    colorScheme: more.dark ? 'dark' : 'light',
    locale: more.language ?? 'en-US'
  })
  const page = await context.newPage()
  page.setDefaultTimeout(20_000)
  page.on('pageerror', (error) => {
    throw error
  })
  for (let tries = 0; ; tries += 1) {
    try {
      await page.goto(URL + path)
      await expect(page.locator('.starting'), 'the application begins').toHaveCount(0)
      return page
    } catch (error) {
      // The appliance makes devices in the browser's namespace, which the browser takes for another network, and gives up
      // what it was loading; its page about that may come in between the next time, or that page may try again by itself.
      if (tries >= 5 || !/ERR_NETWORK_CHANGED|chrome-error:|interrupted by another navigation|the application begins/.test(String(error))) throw error
    }
  }
}

export async function signIn(page: Page, name = 'admin', password = PASSWORD): Promise<void> {
  await page.getByLabel('Name', { exact: true }).fill(name)
  await page.getByLabel('Password', { exact: true }).fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

/** With a password that may stay, and nothing in the candidate: whichever tests came before. */
export async function settled(lab: Lab, chromium: Browser): Promise<void> {
  const { body } = await lab.ask('GET', '/api/v1/users')
  if (body.includes('"must-change-password":true')) {
    const page = await open(chromium)
    await signIn(page, 'admin', lab.oneTimePassword)
    await page.getByLabel('New password', { exact: true }).fill(PASSWORD)
    await page.getByLabel('New password, again').fill(PASSWORD)
    await page.getByRole('button', { name: 'Change password' }).click()
    await expect(page.getByRole('navigation')).toBeVisible()
    await page.context().close()
  }
  await lab.ask('DELETE', '/api/v1/config/candidate')
}

/** Signed in, on that page. */
export async function at(chromium: Browser, path: string, more: { dark?: boolean; name?: string } = {}): Promise<Page> {
  const page = await open(chromium, path, more)
  await signIn(page, more.name ?? 'admin')
  await expect(page.getByRole('navigation')).toBeVisible()
  return page
}

export async function commit(page: Page, comment: string, confirmed = true): Promise<void> {
  await page.getByRole('button', { name: 'Commit', exact: true }).click()
  const dialog = page.getByRole('dialog', { name: 'Commit' })
  await dialog.getByLabel('Comment').fill(comment)
  await dialog.getByLabel('Undo by itself unless confirmed').setChecked(!confirmed)
  await dialog.getByRole('button', { name: 'Commit', exact: true }).click()
  await expect(dialog).toBeHidden()
}

/** Nothing serious for people who see, hear or move differently. */
export async function accessible(page: Page): Promise<void> {
  // There are no frames: without a page of its own to gather what they say, it takes half the time.
  const { violations } = await new AxeBuilder({ page })
    .setLegacyMode()
    .options({ resultTypes: ['violations'] })
    .withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'])
    .analyze()
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(' ')).slice(0, 5).join('; ')}`)).toEqual([])
}

export async function shoot(page: Page, name: string): Promise<void> {
  mkdirSync(SHOTS, { recursive: true })
  await page.screenshot({ path: join(SHOTS, `${name}.png`) })
}

export { expect }
