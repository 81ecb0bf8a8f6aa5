/** Order by hand and by key, roles, sessions that end, an appliance that goes away, text that is only text. */

import { URL } from './lab'
import { at, commit, expect, PASSWORD, settled, shoot, test } from './test'

import type { Page } from '@playwright/test'

test.use({ story: 'care' })
test.describe.configure({ mode: 'serial' })

/** Names in the order of the table. */
async function order(page: Page): Promise<string[]> {
  return page.locator('[role="grid"] tbody tr td.name button').allTextContents()
}

// This file can be run alone.
test.beforeAll(({ lab, chromium }) => settled(lab, chromium))

test('policies are put in order by dragging and by keys, many at once', async ({ lab, chromium }) => {
  const operations = ['a', 'b', 'c', 'd', 'e'].map((name) => ({
    op: 'add',
    path: '/policies/-',
    value: { name: `order-${name}`, from: 'trust', to: 'untrust', application: ['ssh'], source: [`192.0.2.${name.charCodeAt(0)}`], action: 'permit' }
  }))
  expect((await lab.ask('PATCH', '/api/v1/config/candidate', operations)).status).toBe(200)
  const page = await at(chromium, '/ui/policies?q=order-')
  await expect.poll(() => order(page)).toEqual(['order-a', 'order-b', 'order-c', 'order-d', 'order-e'])

  // Drag the first below the third.
  const handle = page.getByRole('row', { name: /order-a/ }).locator('.handle')
  const third = page.getByRole('row', { name: /order-c/ })
  const [from, to] = [await handle.boundingBox(), await third.boundingBox()]
  if (!from || !to) throw new Error('nothing to drag')
  await page.mouse.move(from.x + from.width / 2, from.y + from.height / 2)
  await page.mouse.down()
  await page.mouse.move(from.x + 20, to.y + to.height - 4, { steps: 8 })
  await page.mouse.up()
  await expect.poll(() => order(page)).toEqual(['order-b', 'order-c', 'order-a', 'order-d', 'order-e'])

  // The first two down by two, with keys alone.
  await page.getByRole('grid').focus()
  await page.keyboard.press('Home')
  await page.keyboard.press('Space')
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Space')
  await expect(page.getByText('2 marked')).toBeVisible()
  await page.keyboard.press('Alt+ArrowDown')
  await expect.poll(() => order(page)).toEqual(['order-a', 'order-b', 'order-c', 'order-d', 'order-e'])
  await page.keyboard.press('Alt+ArrowDown')
  await expect.poll(() => order(page)).toEqual(['order-a', 'order-d', 'order-b', 'order-c', 'order-e'])

  // And all of it is so in the appliance.
  await expect
    .poll(async () => {
      const { body } = await lab.ask('GET', '/api/v1/config/policies?q=order-')
      return (JSON.parse(body) as { items: { name: string }[] }).items.map((item) => item.name)
    })
    .toEqual(['order-a', 'order-d', 'order-b', 'order-c', 'order-e'])

  // With Shift, what one leaves is marked, and what one comes to.
  await page.keyboard.press('Escape')
  await page.keyboard.press('Home')
  await page.keyboard.press('Shift+ArrowDown')
  await expect(page.getByText('2 marked')).toBeVisible()
  await page.keyboard.press('Alt+ArrowDown')
  await expect.poll(() => order(page)).toEqual(['order-b', 'order-a', 'order-d', 'order-c', 'order-e'])
  await page.keyboard.press('Alt+ArrowUp')
  await expect.poll(() => order(page)).toEqual(['order-a', 'order-d', 'order-b', 'order-c', 'order-e'])
  await page.keyboard.press('Escape')
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Space')
  await page.keyboard.press('Shift+ArrowDown')
  await expect(page.getByText('2 marked')).toBeVisible()

  await page.getByRole('button', { name: 'Disable' }).click()
  await expect(page.getByRole('row', { name: /order-b/ })).toContainText('Disabled')
  await page.getByRole('grid').focus()
  await page.keyboard.press('Delete')
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await expect.poll(() => order(page)).toEqual(['order-a', 'order-d', 'order-e'])
  await lab.ask('DELETE', '/api/v1/config/candidate')
  await page.context().close()
})

test('the focus is back where it was when a window or a menu closes', async ({ chromium }) => {
  const page = await at(chromium, '/ui/policies')
  const grid = page.getByRole('grid')
  await grid.focus()
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Enter')
  await expect(page.getByRole('dialog', { name: 'Policy no-mail' })).toBeVisible()
  await page.keyboard.press('Escape')
  await expect(grid).toBeFocused()
  await page.keyboard.press('Shift+F10')
  await expect(page.getByRole('menuitem', { name: 'Edit' })).toBeFocused()
  await page.keyboard.press('Escape')
  await expect(grid).toBeFocused()
  await page.keyboard.press('Control+k')
  await expect(page.getByRole('dialog', { name: 'Go to …' })).toBeVisible()
  await page.keyboard.press('Escape')
  await expect(grid).toBeFocused()
  await page.keyboard.press('ArrowUp')
  await page.keyboard.press('Enter')
  await expect(page.getByRole('dialog', { name: 'Policy ping-out' })).toBeVisible()
  await page.context().close()
})

test('the dashboard leads to what it shows, and has the words of both languages', async ({ lab, chromium }) => {
  lab.run('client', 'ping', ['-c', '2', '-i', '0.2', '198.51.100.10'])
  const page = await at(chromium, '/')
  await expect(page.getByText('routing mode', { exact: false })).toBeVisible()
  const policies = page.locator('section', { has: page.getByRole('heading', { name: 'Policies by hits' }) })
  await policies.getByRole('link', { name: 'ping-out' }).click()
  await expect(page.getByRole('dialog', { name: 'Policy ping-out' })).toBeVisible()
  await page.keyboard.press('Escape')
  await page.getByRole('link', { name: 'Dashboard' }).click()
  await page.locator('section', { has: page.getByRole('heading', { name: 'Top talkers' }) }).getByRole('link', { name: '192.0.2.10' }).click()
  await expect(page.getByLabel('Address or prefix')).toHaveValue('192.0.2.10')
  await expect(page.locator('[role="grid"] tbody td.mono').first()).toContainText('192.0.2.10')
  await page.getByRole('link', { name: 'Objects' }).click()
  await page.getByRole('link', { name: 'Source NAT internet' }).click()
  await expect(page.getByRole('dialog', { name: 'Source NAT rule internet' })).toBeVisible()
  await page.keyboard.press('Escape')
  await page.getByRole('button', { name: /Account of/ }).click()
  await page.getByRole('menuitemradio', { name: '日本語' }).click()
  await page.getByRole('link', { name: 'ダッシュボード' }).click()
  await expect(page.getByText('ルーティング モード', { exact: false })).toBeVisible()
  await page.context().close()
})

test('the topology has the service chain, and where in it this appliance stands', async ({ chromium }) => {
  const page = await at(chromium, '/ui/topology')
  const chain = page.locator('section', { has: page.getByRole('heading', { name: 'Service chain shop' }) })
  await expect(chain.getByRole('listitem')).toHaveText([/clients\s*edge\.1\s*nat\s*servers/, /clients\s*edge\.1\s*between/])
  await expect(chain.locator('[aria-current]')).toHaveText(['edge.1', 'edge.1'])
  await page.context().close()
})

test('on a narrow window, the navigation is there when it is wanted, by keys, too', async ({ chromium }) => {
  const page = await at(chromium, '/ui/zones')
  await page.setViewportSize({ width: 820, height: 1180 })
  const navigation = page.getByRole('navigation')
  await expect(navigation).toBeHidden()
  await page.getByRole('button', { name: 'Navigation' }).press('Enter')
  await expect(navigation).toBeVisible()
  await page.keyboard.press('Tab')
  await page.keyboard.press('Escape')
  await expect(navigation).toBeHidden()
  await expect(page.getByRole('button', { name: 'Navigation' })).toBeFocused()
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Zones' }).first().click({ position: { x: 400, y: 5 }, force: true })
  await expect(navigation).toBeHidden()
  await page.context().close()
})

test('a name that there is already is refused at its field, and the page goes on', async ({ lab, chromium }) => {
  const page = await at(chromium, '/ui/policies')
  await page.getByRole('row', { name: /no-mail/ }).getByRole('button', { name: 'More' }).click()
  await page.getByRole('menuitem', { name: 'Clone' }).click()
  const dialog = page.getByRole('dialog', { name: 'New policy' })
  await dialog.getByLabel('Name', { exact: true }).fill('no-mail')
  await dialog.getByRole('button', { name: 'Add', exact: true }).click()
  await expect(dialog.getByRole('alert')).toContainText("'no-mail' is used twice")
  await expect(dialog.getByLabel('Name', { exact: true })).toBeFocused()
  await dialog.getByLabel('Name', { exact: true }).fill('no-mail-either')
  await dialog.getByRole('button', { name: 'Add', exact: true }).click()
  await expect(page.getByRole('row', { name: /no-mail-either/ })).toBeVisible()
  await lab.ask('DELETE', '/api/v1/config/candidate')
  await page.context().close()
})

test('a save that is refused leads to the first field that it is about', async ({ lab, chromium }) => {
  const page = await at(chromium, '/ui/system')
  const form = page.locator('form', { has: page.getByLabel('Host name', { exact: true }) })
  await form.getByLabel('Workers', { exact: true }).fill('many')
  await form.getByLabel('Host name', { exact: true }).fill('-edge-')
  await form.getByRole('button', { name: 'Save to candidate' }).click()
  const host = form.getByLabel('Host name', { exact: true })
  await expect(host).toBeFocused()
  await expect(form.getByRole('alert').first()).toBeInViewport()
  await expect(form.getByLabel('Workers', { exact: true })).toHaveAttribute('aria-invalid', 'true')
  await host.fill('edge-1')
  await form.getByRole('button', { name: 'Save to candidate' }).click()
  await expect(form.getByLabel('Workers', { exact: true })).toBeFocused()
  await lab.ask('DELETE', '/api/v1/config/candidate')
  await page.context().close()
})

test('what is in use is not deleted, and who uses it is said', async ({ chromium }) => {
  const page = await at(chromium, '/ui/objects')
  await page.getByRole('row', { name: /lan/ }).getByRole('button', { name: 'More' }).click()
  await page.getByRole('menuitem', { name: 'Delete' }).click()
  const dialog = page.getByRole('dialog', { name: "Delete 'lan'?" })
  await dialog.getByRole('button', { name: 'Delete' }).click()
  await expect(dialog.getByRole('alert')).toContainText("'lan' is used")
  await expect(dialog.getByRole('link', { name: 'Source NAT › internet › Source' })).toBeVisible()
  await shoot(page, 'in-use')
  await dialog.getByRole('link', { name: 'Policy › ping-out › Source' }).click()
  await expect(page.getByRole('dialog', { name: 'Policy ping-out' })).toBeVisible()
  await page.context().close()
})

test('what the appliance says of a question is in the language of the page', async ({ chromium }) => {
  const page = await at(chromium, '/ui/explain?from=trust&source=192.0.2.300&destination=198.51.100.10&protocol=tcp&destination-port=443')
  await page.getByRole('button', { name: /Account of/ }).click()
  await page.getByRole('menuitemradio', { name: '日本語' }).click()
  await page.getByRole('button', { name: '説明する' }).click()
  const source = page.getByLabel('送信元', { exact: true })
  await expect(source).toHaveAccessibleDescription('source: IP アドレスではありません')
  await source.fill('192.0.2.10')
  await page.getByRole('button', { name: '説明する' }).click()
  const steps = page.locator('section.answer ol li')
  await expect(steps.first()).toBeVisible()
  for (const step of await steps.allTextContents()) expect(step).toMatch(/[ぁ-んァ-ヶ一-龠]/)
  await shoot(page, 'explain-answer-japanese')
  await page.context().close()
})

test('a page whose script never comes says so, and begins again', async ({ chromium }) => {
  const context = await chromium.newContext({ ignoreHTTPSErrors: true })
  const page = await context.newPage()
  await page.route('**/ui/assets/*.js', (route) => route.abort())
  await page.goto(`${URL}/ui/zones`)
  const again = page.getByRole('link', { name: 'Load again' })
  await expect(again).toBeHidden()
  await expect(again).toBeVisible({ timeout: 20_000 })
  await page.unroute('**/ui/assets/*.js')
  await again.click()
  await expect(page.getByLabel('Password', { exact: true })).toBeVisible()
  await context.close()
})

test('what is typed and not known is not taken for something else, nor lost', async ({ lab, chromium }) => {
  const page = await at(chromium, '/ui/policies')
  await page.getByRole('button', { name: 'New policy' }).click()
  const dialog = page.getByRole('dialog', { name: 'New policy' })
  const application = dialog.getByRole('combobox', { name: 'Application', exact: true })
  // Several begin like this, and none was chosen.
  await application.fill('htt')
  await dialog.getByLabel('Name', { exact: true }).click()
  await expect(dialog.getByRole('button', { name: 'Remove htt', exact: true })).toBeVisible()
  await dialog.getByRole('button', { name: 'Remove htt', exact: true }).click()
  await application.fill('unheard-of')
  await application.press('Enter')
  const making = page.getByRole('dialog', { name: 'New application' })
  await making.getByRole('button', { name: 'Cancel' }).click()
  await expect(application).toHaveValue('unheard-of')
  await application.press('Tab')
  await dialog.getByLabel('Name', { exact: true }).fill('unheard')
  for (const [field, value] of [['From', 'trust'], ['To', 'untrust']] as const) {
    await dialog.getByRole('combobox', { name: field, exact: true }).fill(value)
    await dialog.getByRole('combobox', { name: field, exact: true }).press('Tab')
  }
  await dialog.getByRole('button', { name: 'Add', exact: true }).click()
  await expect(dialog.getByRole('alert')).toContainText("no application is named 'unheard-of'")
  await lab.ask('DELETE', '/api/v1/config/candidate')
  await page.context().close()
})

test('markup in names and texts is text', async ({ lab, chromium }) => {
  const evil = '<img src=x onerror="document.title=1"><b>bold</b>'
  await lab.ask('PATCH', '/api/v1/config/candidate', [
    { op: 'add', path: '/policies/-', value: { name: 'odd', description: evil, from: 'trust', to: 'untrust', action: 'deny', application: ['ssh'] } }
  ])
  const page = await at(chromium, '/ui/policies?edit=odd')
  await expect(page.getByLabel('Description')).toHaveValue(evil)
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click()
  await page.getByRole('button', { name: 'Show changes' }).click()
  await expect(page.getByRole('dialog', { name: 'Changes' }).getByText('<b>bold</b>')).toBeVisible()
  expect(await page.locator('b, img[src="x"]').count()).toBe(0)
  await lab.ask('DELETE', '/api/v1/config/candidate')
  await page.context().close()
})

test('a commit that would cut this browser off says so first', async ({ lab, chromium }) => {
  const moved = [{ op: 'replace', path: '/management/listen', value: '192.0.2.1:8443' }]
  expect((await lab.ask('PATCH', '/api/v1/config/candidate', moved)).status).toBe(200)
  const page = await at(chromium, '/ui/system')
  await page.getByRole('button', { name: 'Commit', exact: true }).click()
  await expect(page.getByRole('dialog', { name: 'Commit' })).toContainText('This may cut you off: management would be served at 192.0.2.1:8443')
  await lab.ask('DELETE', '/api/v1/config/candidate')
  await page.context().close()
})

test('what the check says leads to what it is about', async ({ lab, chromium }) => {
  // The same as no-mail, after it.
  const hidden = { name: 'hidden', from: 'trust', to: 'untrust', application: 'smtp', action: 'deny' }
  expect((await lab.ask('PATCH', '/api/v1/config/candidate', [{ op: 'add', path: '/policies/-', value: hidden }])).status).toBe(200)
  const page = await at(chromium, '/ui/zones')
  await page.getByRole('button', { name: '1 warning' }).click()
  const findings = page.getByRole('dialog', { name: 'What the check says' })
  await findings.getByRole('link', { name: 'Policy › hidden' }).click()
  await expect(page.getByRole('dialog', { name: 'Policy hidden' })).toBeVisible()
  await lab.ask('DELETE', '/api/v1/config/candidate')
  await page.context().close()
})

test('what no form was written for is edited by the schema', async ({ lab, chromium }) => {
  const page = await at(chromium, '/ui/policies?edit=no-mail')
  const dialog = page.getByRole('dialog', { name: 'Policy no-mail' })
  await dialog.getByRole('button', { name: 'New Content (L7)' }).click()
  const content = dialog.getByRole('group', { name: 'Content (L7)' })
  await content.getByRole('combobox', { name: 'Host' }).fill('*.example.com')
  await content.getByRole('combobox', { name: 'Host' }).press('Enter')
  await content.getByLabel('Risk (1 to 5)').fill('9')
  await dialog.getByRole('button', { name: 'Save to candidate' }).click()
  await expect(content.getByRole('alert')).toContainText('from 1 to 5')
  await content.getByLabel('Risk (1 to 5)').fill('4')
  await dialog.getByRole('button', { name: 'Save to candidate' }).click()
  await expect(dialog).toBeHidden()
  await expect(page.getByRole('row', { name: /no-mail/ })).toContainText('host: *.example.com; risk: 4')
  const { body } = await lab.ask('GET', '/api/v1/config/policies/no-mail')
  expect(JSON.parse(body)).toMatchObject({ l7: { host: ['*.example.com'], risk: 4 } })
  await lab.ask('DELETE', '/api/v1/config/candidate')
  await page.context().close()
})

test('who may only look can change nothing', async ({ lab, chromium }) => {
  const made = await lab.ask('POST', '/api/v1/users', { name: 'viewer', role: 'read-only', password: PASSWORD, 'must-change-password': false })
  expect(made.status).toBe(201)
  await lab.ask('PATCH', '/api/v1/config/candidate', [{ op: 'add', path: '/addresses/viewed', value: ['192.0.2.5'] }])
  const page = await at(chromium, '/ui/policies', { name: 'viewer' })
  await expect(page.getByRole('row', { name: /ping-out/ })).toBeVisible()
  await expect(page.getByRole('button', { name: 'Show changes' })).toBeVisible()
  for (const name of ['New policy', 'Commit', 'Discard']) await expect(page.getByRole('button', { name, exact: true })).toHaveCount(0)
  expect(await page.locator('.handle').count()).toBe(0)
  // Nothing is marked that nothing can be done with, by keys neither.
  await expect(page.getByRole('checkbox')).toHaveCount(0)
  await page.getByRole('grid').focus()
  for (const key of ['Space', 'Control+a', 'Shift+ArrowDown']) await page.keyboard.press(key)
  await expect(page.getByRole('toolbar', { name: 'What is marked' })).toHaveCount(0)
  await page.getByRole('button', { name: 'ping-out', exact: true }).click()
  const dialog = page.getByRole('dialog', { name: 'Policy ping-out' })
  await expect(dialog.getByLabel('Name', { exact: true })).not.toBeEditable()
  await expect(dialog.getByLabel('Description')).not.toBeEditable()
  for (const action of ['permit', 'deny', 'reject']) await expect(dialog.getByRole('radio', { name: action })).toBeDisabled()
  await expect(dialog.getByRole('button', { name: 'Save to candidate' })).toHaveCount(0)
  await dialog.getByRole('button', { name: 'Close' }).first().click()
  await page.getByRole('link', { name: 'Users' }).click()
  await expect(page.getByText('Only an admin sees and changes users.')).toBeVisible()
  await lab.ask('DELETE', '/api/v1/config/candidate')
  await page.context().close()
})

test('a session that ends takes nothing along that was typed', async ({ lab, chromium }) => {
  const page = await at(chromium, '/ui/objects')
  await page.getByRole('button', { name: 'New address object' }).click()
  const dialog = page.getByRole('dialog', { name: 'New address object' })
  await dialog.getByLabel('Name', { exact: true }).fill('printers')
  await dialog.getByRole('combobox', { name: 'Stands for' }).fill('192.0.2.66')
  await dialog.getByRole('combobox', { name: 'Stands for' }).press('Enter')
  await page.context().clearCookies()
  await dialog.getByRole('button', { name: 'Add', exact: true }).click()
  const again = page.getByRole('dialog', { name: 'Your session has ended' })
  await expect(again.getByLabel('Password')).toBeFocused()
  await page.keyboard.type(PASSWORD)
  await page.keyboard.press('Enter')
  // What was asked for is done now.
  await expect(dialog).toBeHidden()
  await expect(page.getByRole('row', { name: /printers/ })).toBeVisible()
  await lab.ask('DELETE', '/api/v1/config/candidate')
  await page.context().close()
})

test('of two who edit one policy, neither undoes what the other did, nor loses what was typed', async ({ lab, chromium }) => {
  const page = await at(chromium, '/ui/policies?edit=no-mail')
  const dialog = page.getByRole('dialog', { name: 'Policy no-mail' })
  await dialog.getByLabel('Description').fill('no letters')
  await lab.ask('PATCH', '/api/v1/config/policies/no-mail', { log: ['end'] })
  await expect(dialog.getByText('Somebody else has changed this meanwhile.', { exact: false })).toBeVisible()
  await dialog.getByRole('button', { name: 'Save to candidate' }).click()
  await expect(dialog).toBeHidden()
  const { body } = await lab.ask('GET', '/api/v1/config/policies/no-mail')
  expect(JSON.parse(body)).toMatchObject({ description: 'no letters', log: ['end'] })

  await page.getByRole('button', { name: 'no-mail', exact: true }).click()
  await dialog.getByLabel('Description').fill('no letters at all')
  await lab.ask('DELETE', '/api/v1/config/policies/no-mail')
  await expect(page.getByRole('row', { name: /no-mail/, includeHidden: true })).toHaveCount(0)
  await expect(dialog.getByLabel('Description')).toHaveValue('no letters at all')
  await dialog.getByRole('button', { name: 'Save to candidate' }).click()
  await expect(dialog.getByRole('alert')).toContainText("There is no 'no-mail' in the candidate.")
  await lab.ask('DELETE', '/api/v1/config/candidate')
  await page.context().close()
})

test('what was typed and not saved is not left behind unasked', async ({ chromium }) => {
  const page = await at(chromium, '/ui/configuration')
  const text = page.getByRole('textbox', { name: 'Configuration' })
  await expect(text).toHaveValue(/version: 1/)
  await text.press('Control+End')
  await text.pressSequentially('routes:\n- to: 203.0.113.0/24\n')
  await expect(page.getByText('1 error')).toBeVisible()
  await expect(page.getByRole('button', { name: 'Save to candidate' })).toBeDisabled()
  await page.getByRole('link', { name: 'History' }).click()
  await page.getByRole('dialog', { name: 'Leave without saving?' }).getByRole('button', { name: 'Stay' }).click()
  await expect(text).toHaveValue(/203\.0\.113\.0\/24/)
  await page.getByRole('button', { name: 'Undo my changes' }).click()
  await expect(text).not.toHaveValue(/203\.0\.113\.0\/24/)
  await page.context().close()
})

test('an appliance that goes away is waited for', async ({ lab, chromium }) => {
  const page = await at(chromium, '/ui/zones')
  await expect(page.getByRole('row', { name: /untrust/ })).toBeVisible()
  await lab.halt()
  await expect(page.getByText('The appliance does not answer.', { exact: false })).toBeVisible({ timeout: 30_000 })
  await lab.boot()
  // Sessions do not outlive it.
  const again = page.getByRole('dialog', { name: 'Your session has ended' })
  await expect(again).toBeVisible({ timeout: 30_000 })
  await again.getByLabel('Password').fill(PASSWORD)
  await again.getByRole('button', { name: 'Sign in' }).click()
  await expect(again).toBeHidden()
  await expect(page.getByText('The appliance does not answer.', { exact: false })).toBeHidden()
  await expect(page.getByRole('row', { name: /untrust/ })).toBeVisible()
  await page.context().close()
})

test('an appliance that falls silent is noticed, and a commit that was not answered for is told as it ended', async ({ lab, chromium }) => {
  const page = await at(chromium, '/ui/objects')
  await lab.ask('POST', '/api/v1/config/addresses', { name: 'silent', addresses: ['192.0.2.77'] })
  await page.getByRole('button', { name: 'Commit', exact: true }).click()
  const dialog = page.getByRole('dialog', { name: 'Commit' })
  await dialog.getByLabel('Comment').fill('cut off')
  await dialog.getByLabel('Confirm within').fill('10s')
  // It has the question, and its answer is lost.
  lab.freeze()
  const asked = page.waitForRequest((request) => request.method() === 'POST' && request.url().endsWith('/config/commit'))
  await dialog.getByRole('button', { name: 'Commit', exact: true }).click()
  await expect(dialog.getByText('Committing …')).toBeVisible()
  await asked
  // From the page to the socket, a busy browser takes a moment.
  await page.waitForTimeout(1_000)
  lab.cut(true)
  lab.thaw()
  await expect(dialog.getByText('No answer came', { exact: false })).toBeVisible({ timeout: 15_000 })
  await expect(page.locator('.offline')).toBeVisible()
  const state = async () => (JSON.parse((await lab.ask('GET', '/api/v1/config/history')).body) as { state: string }[])[0]?.state
  await expect.poll(state).toBe('undone')
  lab.cut(false)
  await expect(dialog.getByText(/Revision \d+ was in force, and is undone/)).toBeVisible({ timeout: 30_000 })
  await expect(page.locator('.offline')).toBeHidden()
  await dialog.getByRole('button', { name: 'Cancel' }).click()

  // A process that stands still: what was typed is there when it goes on.
  await page.getByRole('button', { name: 'New address object' }).click()
  const making = page.getByRole('dialog', { name: 'New address object' })
  await making.getByLabel('Name', { exact: true }).fill('printers')
  await making.getByRole('combobox', { name: 'Stands for' }).fill('192.0.2.66')
  await making.getByRole('combobox', { name: 'Stands for' }).press('Enter')
  lab.freeze()
  await making.getByRole('button', { name: 'Add', exact: true }).click()
  await expect(making.getByRole('alert')).toContainText('The appliance does not answer.', { timeout: 15_000 })
  lab.thaw()
  await expect(page.locator('.offline')).toBeHidden()
  await making.getByRole('button', { name: 'Add', exact: true }).click()
  await expect(making).toBeHidden()
  await expect(page.getByRole('row', { name: /printers/ })).toBeVisible()
  await lab.ask('DELETE', '/api/v1/config/candidate')
  await page.context().close()
})

test('a table of a hundred thousand sessions is scrolled through @long', async ({ lab, chromium }) => {
  test.setTimeout(300_000)
  const changed = await lab.ask('PATCH', '/api/v1/config/candidate', [
    { op: 'add', path: '/policies/0', value: { name: 'datagrams', from: 'trust', to: 'untrust', application: ['any-udp'], action: 'permit' } },
    { op: 'add', path: '/nat/source/0', value: { name: 'as-they-are', from: 'trust', to: 'untrust', source: ['lan'], destination: ['198.51.100.11'], translate: 'none' } },
    { op: 'add', path: '/applications', value: { 'any-udp': [{ protocol: 'udp', 'idle-timeout': '10m' }] } }
  ])
  expect(changed.status, changed.body).toBe(200)
  const page = await at(chromium, '/ui/sessions')
  await commit(page, 'datagrams')
  const total = async () => (JSON.parse((await lab.ask('GET', '/api/v1/sessions?limit=1')).body) as { total: number }).total
  // What a busy machine loses is sent again.
  for (let rounds = 0; rounds < 12 && (await total()) < 100_000; rounds += 1) await lab.flood(51, 2_000)
  expect(await total()).toBeGreaterThan(100_000)

  const grid = page.getByRole('grid')
  await expect.poll(async () => Number(await grid.getAttribute('aria-rowcount'))).toBeGreaterThan(100_000)
  await grid.focus()
  for (const key of ['End', 'Home', 'PageDown', 'End']) {
    await page.keyboard.press(key)
    await expect(page.locator('[role="grid"] tbody tr.active td.mono').first()).toHaveText(/192\.0\.2\.10:\d+/)
  }
  expect(await page.locator('[role="grid"] tbody tr').count()).toBeLessThan(100)
  // The key opens a session, and is not taken for the button's that closes it again.
  await page.keyboard.press('Enter')
  await expect(page.locator('dialog[open] dl')).toBeVisible()
  await page.keyboard.press('Escape')
  await expect(page.getByRole('dialog')).toHaveCount(0)
  // One that is cut off by mistake does not come back by itself, so it is asked.
  await page.keyboard.press('Enter')
  await page.getByRole('button', { name: 'Close session' }).click()
  await page.keyboard.press('Escape')
  await expect(page.locator('dialog[open] dl')).toBeVisible()
  await page.getByRole('button', { name: 'Close session' }).click()
  await page.getByRole('dialog', { name: 'Close session' }).getByRole('button', { name: 'Close session' }).click()
  await expect(page.getByText('1 session closed')).toBeVisible()
  await expect(page.getByRole('dialog')).toHaveCount(0)

  await page.getByLabel('Port', { exact: true }).fill('20007')
  const { matching } = JSON.parse((await lab.ask('GET', '/api/v1/sessions?port=20007&count=true&limit=1')).body) as { matching: number }
  expect(matching).toBeGreaterThan(1_000)
  const shown = matching.toLocaleString('en')
  await expect(page.getByText(`${shown} of `)).toBeVisible()
  await expect(page).toHaveURL(/port=20007/)
  await page.getByLabel('Port', { exact: true }).fill('99999999')
  await expect(page.getByRole('alert')).toContainText('99999999')
  await page.getByLabel('Port', { exact: true }).fill('20007')
  await page.getByRole('button', { name: 'Close all that match' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Close them' }).click()
  await expect(page.getByText(`${shown} sessions closed`)).toBeVisible()
  await page.context().close()
})
