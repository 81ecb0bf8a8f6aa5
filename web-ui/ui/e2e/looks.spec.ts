/** Every page in the light and in the dark, in both languages: nothing in anybody's way, and a picture to look at. */

import type { Page } from '@playwright/test'

import { accessible, at, expect, settled, shoot, test } from './test'

test.use({ story: 'looks' })

const PAGES: [name: string, path: string][] = [
  ['dashboard', '/'],
  ['topology', '/ui/topology'],
  ['sessions', '/ui/sessions'],
  ['events', '/ui/events'],
  ['policies', '/ui/policies'],
  ['policies-groups', '/ui/policies?view=groups'],
  ['policies-matrix', '/ui/policies?view=matrix'],
  ['policy', '/ui/policies?edit=ping-out'],
  ['policy-content', '/ui/policies?edit=a-name-as-long-as-names-may-be-which-is-sixty-three-characters-'],
  ['nat', '/ui/nat'],
  ['nat-pools', '/ui/nat?section=pools'],
  ['nat-leases', '/ui/nat?section=leases'],
  ['objects', '/ui/objects'],
  ['objects-applications', '/ui/objects?section=applications'],
  ['objects-built-in', '/ui/objects?section=built-in'],
  ['inspection', '/ui/inspection'],
  ['inspection-profile', '/ui/inspection?section=%2Finspection&edit=strict'],
  ['signatures', '/ui/signatures'],
  ['url-lists', '/ui/url-lists'],
  ['services', '/ui/services'],
  ['service', '/ui/services?section=%2Fservices&edit=shop'],
  ['explain', '/ui/explain?from=trust&source=192.0.2.10&destination=198.51.100.10&protocol=tcp&destination-port=25'],
  ['interfaces', '/ui/interfaces'],
  ['zones', '/ui/zones'],
  ['zone', '/ui/zones?edit=trust'],
  ['routes', '/ui/routes'],
  ['routes-kernel', '/ui/routes?view=kernel'],
  ['configuration', '/ui/configuration'],
  ['history', '/ui/history'],
  ['users', '/ui/users'],
  ['tokens', '/ui/tokens'],
  ['system', '/ui/system'],
  ['nowhere', '/ui/nowhere']
]

test.beforeAll(async ({ lab, chromium }) => {
  await settled(lab, chromium)
  // Something to see: a long name, what is off, what can never match, text with markup.
  const long = 'a-name-as-long-as-names-may-be-which-is-sixty-three-characters-x'.slice(0, 63)
  const operations = [
    { op: 'add', path: '/addresses', value: { lan: ['192.0.2.0/24'], [long]: ['198.51.100.0/25', '203.0.113.7', '2001:db8::/32'] } },
    { op: 'add', path: '/applications', value: { 'shop-api': [{ protocol: 'tcp', 'destination-port': [8080, '8443-8450'], 'idle-timeout': '10m' }, 'https'] } },
    { op: 'add', path: '/schedules', value: { office: { 'time-zone': 'Europe/Berlin', weekly: [{ days: ['mon-fri'], from: '08:00', to: '18:00' }] } } },
    { op: 'add', path: '/policies/-', value: { name: long, description: '<b>Pages</b> & more', from: 'trust', to: 'untrust', destination: [long], application: ['shop-api', 'dns', 'ssh', 'imap'], action: 'permit', log: ['start', 'end'], schedule: 'office', l7: { host: ['*.example.com'], method: ['GET'] } } },
    { op: 'add', path: '/policies/-', value: { name: 'hidden', from: 'trust', to: 'untrust', application: 'smtp', action: 'deny' } },
    { op: 'add', path: '/policies/-', value: { name: 'off', from: 'untrust', to: 'any', action: 'reject', enabled: false } },
    { op: 'add', path: '/url-lists', value: { ads: { entries: ['ads.example.com', '||tracker.example^'] }, ours: { url: 'https://lists.example.org/ours.txt', refresh: '6h' } } },
    { op: 'add', path: '/services', value: { shop: { title: 'The shop', category: 'business', risk: 2, domains: ['shop.example.com', 'shop.example.net'] } } },
    { op: 'add', path: '/inspection', value: { strict: { description: 'What children may see', 'url-filter': { block: ['ads'], allow: ['ours'], categories: ['gambling', 'social'] }, 'dns-filter': { block: ['ads'], answer: 'zero' } } } },
    { op: 'add', path: '/nat/pools', value: { public: { addresses: ['198.51.100.32/28'] } } }
  ]
  const { status, body } = await lab.ask('PATCH', '/api/v1/config/candidate', operations)
  expect(status, body).toBe(200)
})

for (const dark of [false, true]) {
  test(`every page ${dark ? 'in the dark @long' : 'in the light'} is accessible`, async ({ chromium }) => {
    test.setTimeout(900_000)
    const page = await at(chromium, '/', { dark })
    for (const [name, path] of PAGES) {
      await test.step(name, async () => {
        await turnTo(page, path)
        await expect(page.locator('main, dialog').getByText('Loading …')).toHaveCount(0)
        await page.waitForTimeout(300)
        await accessible(page)
        await shoot(page, `${name}-${dark ? 'dark' : 'light'}`)
      })
    }
    await page.context().close()
  })
}

test('in Japanese and on a tablet, nothing is cut off @long', async ({ chromium }) => {
  test.setTimeout(900_000)
  const page = await at(chromium, '/')
  await page.getByRole('button', { name: /Account of/ }).click()
  await page.getByRole('menuitemradio', { name: '日本語' }).click()
  await expect(page.getByRole('heading', { name: 'ダッシュボード' })).toBeVisible()
  await page.setViewportSize({ width: 820, height: 1180 })
  for (const [name, path] of PAGES) {
    await test.step(name, async () => {
      await turnTo(page, path)
      await expect(page.locator('main, dialog').getByText('読み込み中 …')).toHaveCount(0)
      await page.waitForTimeout(300)
      await expectInWindow(page)
      expect(await tooWide(page), 'tables fit').toEqual([])
      await shoot(page, `${name}-japanese`)
    })
  }
  await page.context().close()
})

const STATES = [
  ['huge', 'what is huge', (body: string) => ({ status: 200, body: body.replace(HUGE, (_, name: string) => `${name}:987654321987654321`) })],
  ['failed', 'what fails', () => ({ status: 500, body: JSON.stringify({ type: 'about:blank', title: 'Internal Server Error', status: 500, detail: 'the disk is full' }) })],
  ['waiting', 'what does not come', undefined]
] as const
const HUGE = /("(?:bytes|packets|hits|dropped|sessions|used|leases|[a-z-]+-per-second)"):\d+(?:\.\d+)?/g
/** The page itself, who one is, and the candidate are as ever. */
const OTHERWISE = /whoami|config|login|stream/

for (const [name, what, change] of STATES) {
  test(`${what} is shown as it is @long`, async ({ lab, chromium }) => {
    lab.run('client', 'ping', ['-c', '3', '-i', '0.2', '198.51.100.10'])
    const page = await at(chromium, '/ui/zones')
    await page.route(
      (address) => address.pathname.startsWith('/api/') && !OTHERWISE.test(address.pathname),
      async (route) => {
        if (route.request().method() !== 'GET') return route.continue()
        // Never answered.
        if (!change) return
        const { pathname, search } = new URL(route.request().url())
        const { body } = await lab.ask(route.request().method(), pathname + search)
        await route.fulfill({ contentType: 'application/json', ...change(body) })
      }
    )
    for (const [shot, path] of PAGES) {
      await test.step(shot, async () => {
        await turnTo(page, path)
        await page.waitForTimeout(name === 'huge' ? 1_500 : 500)
        await expectInWindow(page)
        if (name === 'failed' && shot === 'interfaces') await expect(page.getByText('the disk is full').first()).toBeVisible()
        if (name === 'failed' && ['nat-leases', 'routes-kernel', 'users', 'tokens'].includes(shot)) {
          await expect(page.locator('main').getByRole('alert').filter({ hasText: 'the disk is full' })).toBeVisible()
          await expect(page.locator('main').getByText(/Loading …|Nothing (is|matches)|There are no/)).toHaveCount(0)
        }
        await shoot(page, `${shot}-${name}`)
      })
    }
    await page.unrouteAll({ behavior: 'ignoreErrors' })
    await page.context().close()
  })
}

async function turnTo(page: Page, path: string): Promise<void> {
  await page.evaluate((address) => {
    history.pushState(null, '', address)
    dispatchEvent(new PopStateEvent('popstate'))
  }, path)
}

/** Tables that must be scrolled sideways. */
function tooWide(page: Page): Promise<string[]> {
  const tables = page.locator('main table.table')
  return tables.evaluateAll((all) => all.filter((table) => table.scrollWidth > (table.parentElement?.clientWidth ?? 0) + 1).map((table) => `${table.textContent?.slice(0, 80)}: ${table.scrollWidth}`))
}

async function expectInWindow(page: Page): Promise<void> {
  expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'the page is no wider than the window').toBe(true)
}
