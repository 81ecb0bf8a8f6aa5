import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { svelte } from '@sveltejs/vite-plugin-svelte'
import type { Plugin } from 'vite'
import { defineConfig } from 'vitest/config'

/** Where `npm run dev` finds an API: `palisade lab` serves one there. */
const API = process.env['PALISADE_API'] ?? 'http://127.0.0.1:8443'

/** Each file once more as `NAME.gz`, so that the appliance compresses nothing. */
function compressed(): Plugin {
  return {
    name: 'compressed',
    apply: 'build',
    closeBundle() {
      for (const entry of readdirSync('dist', { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || entry.name.endsWith('.gz')) continue
        const file = join(entry.parentPath, entry.name)
        writeFileSync(`${file}.gz`, gzipSync(readFileSync(file), { level: 9 }))
      }
    }
  }
}

export default defineConfig({
  base: '/ui/',
  plugins: [svelte(), compressed()],
  build: {
    target: 'es2022',
    // The Content-Security-Policy takes no `data:`.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
    rolldownOptions: { checks: { pluginTimings: false } }
  },
  server: { proxy: { '/api': API, '/readyz': API, '/healthz': API } },
  test: { include: ['src/**/*.test.ts'], environment: 'node' }
})
