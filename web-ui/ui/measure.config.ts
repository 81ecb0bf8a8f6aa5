import { defineConfig } from '@playwright/test'

/** How fast, and what it costs. Wants a release build of the appliance, and a machine with nothing else to do. */
export default defineConfig({
  testDir: 'measure',
  outputDir: 'test-results',
  workers: 1,
  fullyParallel: false,
  timeout: 1_200_000,
  expect: { timeout: 30_000 },
  reporter: [['list']],
  use: { actionTimeout: 30_000, navigationTimeout: 30_000, ignoreHTTPSErrors: true, locale: 'en-US', trace: 'off' }
})
