/** What an engineer does on a first day, from the first sign-in to a roll-back. Each step stands on those before it. */

import { at, commit, expect, open, PASSWORD, shoot, signIn, test } from './test'

test.use({ story: 'first-day' })
test.describe.configure({ mode: 'serial' })

test('the first sign-in asks for another password, and a wrong one is said to be', async ({ lab, chromium }) => {
  const page = await open(chromium, '/ui/policies')
  await signIn(page, 'admin', 'not the password at all')
  await expect(page.getByRole('alert')).toHaveText('Name or password is wrong.')
  await shoot(page, 'sign-in')
  // Whoever guesses waits a moment.
  await expect(page.getByRole('button', { name: 'Sign in' })).toBeEnabled()
  await signIn(page, 'admin', lab.oneTimePassword)
  await page.getByLabel('New password', { exact: true }).fill('short')
  await page.getByLabel('New password, again').fill('short')
  await page.getByRole('button', { name: 'Change password' }).click()
  await expect(page.getByRole('alert')).toContainText('at least 15')
  await page.getByLabel('New password', { exact: true }).fill(PASSWORD)
  await page.getByLabel('New password, again').fill(PASSWORD)
  await page.getByRole('button', { name: 'Change password' }).click()
  // Where the address said.
  await expect(page.getByRole('heading', { name: 'Policies', exact: true })).toBeVisible()
  await page.context().close()
})

test('a policy is written, with an object made on the way, and shown in the diff', async ({ lab, chromium }) => {
  expect(lab.fetches()).toBe(false)
  const page = await at(chromium, '/ui/policies')
  await page.getByRole('button', { name: 'New policy' }).click()
  const dialog = page.getByRole('dialog', { name: 'New policy' })
  await dialog.getByLabel('Name', { exact: true }).fill('web out')
  for (const [field, value] of [
    ['From', 'trust'],
    ['To', 'untrust'],
    ['Source', 'lan'],
    ['Application', 'http']
  ] as const) {
    await dialog.getByRole('combobox', { name: field, exact: true }).fill(value)
    await dialog.getByRole('combobox', { name: field, exact: true }).press('Enter')
  }
  await dialog.getByRole('combobox', { name: 'Destination', exact: true }).fill('web-servers')
  await page.getByRole('option', { name: "New address object 'web-servers'" }).click()
  const object = page.getByRole('dialog', { name: 'New address object' })
  await object.getByRole('combobox', { name: 'Stands for' }).fill('198.51.100.300')
  await object.getByRole('combobox', { name: 'Stands for' }).press('Enter')
  await object.getByRole('button', { name: 'Add', exact: true }).click()
  // At the field, and nothing is lost.
  await expect(object.getByRole('alert')).toContainText('198.51.100.300')
  await object.getByRole('button', { name: 'Remove 198.51.100.300' }).click()
  await object.getByRole('combobox', { name: 'Stands for' }).fill('198.51.100.10')
  await object.getByRole('combobox', { name: 'Stands for' }).press('Enter')
  await object.getByRole('button', { name: 'Add', exact: true }).click()
  await expect(object).toBeHidden()

  await dialog.getByRole('checkbox', { name: 'start' }).check()
  await dialog.getByRole('button', { name: 'Add', exact: true }).click()
  await expect(dialog.getByRole('alert')).toContainText("'web out' is no name")
  await dialog.getByLabel('Name', { exact: true }).fill('web-out')
  await dialog.getByRole('button', { name: 'Add', exact: true }).click()
  await expect(dialog).toBeHidden()

  await expect(page.getByText('2 changes')).toBeVisible()
  await page.getByRole('button', { name: 'Show changes' }).click()
  const diff = page.getByRole('dialog', { name: 'Changes' })
  await expect(diff.getByRole('cell', { name: /name: web-out/ })).toBeVisible()
  await expect(diff.getByRole('link', { name: 'web-servers' })).toBeVisible()
  await shoot(page, 'diff')
  await page.context().close()
})

test('a commit undoes itself unless confirmed, and passes traffic meanwhile and after', async ({ lab, chromium }) => {
  const page = await at(chromium, '/ui/policies')
  await page.getByRole('button', { name: 'Commit', exact: true }).click()
  const dialog = page.getByRole('dialog', { name: 'Commit' })
  await dialog.getByLabel('Comment').fill('pages for everybody')
  await dialog.getByLabel('Confirm within').fill('nonsense')
  await dialog.getByRole('button', { name: 'Commit', exact: true }).click()
  await expect(dialog.getByRole('alert')).toContainText('nonsense')
  await dialog.getByLabel('Confirm within').fill('90s')
  await shoot(page, 'commit')
  await dialog.getByRole('button', { name: 'Commit', exact: true }).click()
  await expect(page.getByRole('timer')).toContainText(/is undone in 1:\d\d unless confirmed/)
  expect(lab.fetches()).toBe(true)
  await page.getByRole('button', { name: 'Confirm' }).click()
  await expect(page.getByText('No changes')).toBeVisible()
  expect(lab.fetches()).toBe(true)
  const row = page.getByRole('row', { name: /web-out/ })
  await expect(row.getByRole('gridcell', { name: '2', exact: true })).toBeVisible()
  await page.context().close()
})

test("another editor's commit shows at once", async ({ lab, chromium }) => {
  const page = await at(chromium, '/ui/policies')
  await expect(page.getByText('3 policies')).toBeVisible()
  await lab.ask('POST', '/api/v1/config/policies', { name: 'by-somebody', from: ['trust'], to: ['untrust'], application: ['ntp'], action: 'deny' })
  await expect(page.getByText('4 policies')).toBeVisible()
  await expect(page.getByText('1 change', { exact: true })).toBeVisible()
  await lab.ask('DELETE', '/api/v1/config/candidate')
  await expect(page.getByText('3 policies')).toBeVisible()
  await page.context().close()
})

test('what is blocked is found in the events and explained, and a roll-back lets it pass', async ({ lab, chromium }) => {
  const page = await at(chromium, '/ui/policies?edit=web-out')
  const dialog = page.getByRole('dialog', { name: 'Policy web-out' })
  await dialog.getByText('deny', { exact: true }).click()
  await dialog.getByRole('button', { name: 'Save to candidate' }).click()
  await commit(page, 'no pages')
  await expect(page.getByText('Revision 3 in force')).toBeVisible()
  expect(lab.fetches(1)).toBe(false)

  await page.getByRole('link', { name: 'Events' }).click()
  await page.getByLabel('Kind').selectOption('denied')
  await expect(page).toHaveURL(/kind=denied/)
  const denial = page.getByRole('row', { name: /198\.51\.100\.10:80 .*web-out/ }).first()
  await expect(denial).toBeVisible()
  await denial.click()
  await page.getByRole('dialog').getByRole('link', { name: 'Explain' }).click()
  await expect(page.getByText('Denied', { exact: false }).first()).toBeVisible()
  await expect(page.getByRole('link', { name: 'web-out' })).toBeVisible()

  await page.getByRole('link', { name: 'History' }).click()
  await page.getByRole('row', { name: /pages for everybody/ }).getByRole('button', { name: 'Make it the candidate' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Make it the candidate' }).click()
  const diff = page.getByRole('dialog', { name: 'Changes' })
  await expect(diff.getByRole('cell', { name: /action: permit/ })).toBeVisible()
  await diff.getByRole('button', { name: 'Close' }).click()
  await commit(page, 'pages again')
  expect(lab.fetches()).toBe(true)
  await page.context().close()
})

test('an undone commit is said to be', async ({ lab, chromium }) => {
  const page = await at(chromium, '/ui/zones')
  await lab.ask('POST', '/api/v1/config/addresses', { name: 'passing', addresses: ['192.0.2.77'] })
  await lab.ask('POST', '/api/v1/config/commit', { comment: 'for a moment', 'confirm-within': '8s' })
  await expect(page.getByRole('timer')).toBeVisible()
  await expect(page.getByRole('timer')).toBeHidden()
  await expect(page.getByText(/Revision \d+ was not confirmed, and is undone/)).toBeVisible()
  await page.getByRole('link', { name: 'History' }).click()
  await expect(page.getByRole('row', { name: /for a moment/ })).toContainText('undone')
  await lab.ask('DELETE', '/api/v1/config/candidate')
  await page.context().close()
})
