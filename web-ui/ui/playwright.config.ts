import { defineConfig } from '@playwright/test'

/** A real browser against a real appliance. Needs root, and Chromium: Debian's, or what PALISADE_CHROMIUM names. */
export default defineConfig({
  testDir: 'e2e',
  outputDir: 'test-results',
  // One appliance, whose story the tests tell one after the other.
  workers: 1,
  fullyParallel: false,
  maxFailures: 1,
  timeout: 120_000,
  expect: { timeout: 20_000 },
  reporter: [['list']],
  use: { actionTimeout: 20_000, navigationTimeout: 30_000, viewport: { width: 1440, height: 900 }, ignoreHTTPSErrors: true, locale: 'en-US', trace: 'off' }
})
