import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { svelte } from '@sveltejs/vite-plugin-svelte'
import type { Plugin } from 'vite'
import { defineConfig } from 'vitest/config'

import { documentSchema } from './schema.ts'

/** Where `npm run dev` finds an API: `palisade lab` serves one there. */
const API = process.env['PALISADE_API'] ?? 'http://127.0.0.1:8443'

/** What a browser loads before it shows something, compressed. The dashboard is in it, without what draws lines. */
const FIRST_LOAD_MOST = 150_000

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
      const first = [...readFileSync('dist/index.html', 'utf8').matchAll(/"\/ui\/(assets\/[^"]+)"/g)].map(([, name]) => name ?? '')
      const bytes = first.reduce((sum, name) => sum + statSync(join('dist', `${name}.gz`)).size, 0)
      if (bytes > FIRST_LOAD_MOST) this.error(`the first page loads ${bytes} bytes; at most ${FIRST_LOAD_MOST}`)
    }
  }
}

export default defineConfig({
  base: '/ui/',
  plugins: [svelte(), documentSchema(), compressed()],
  build: {
    target: 'es2022',
    // The Content-Security-Policy takes no `data:`.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
    rolldownOptions: {
      checks: { pluginTimings: false },
      // What several pages use comes with the first, in few requests; but not the forms, which the first page has none of.
      output: {
        codeSplitting: {
          groups: [
            { name: 'shared', test: /^(?!.*\/src\/pages\/forms\/)/, minShareCount: 2, priority: 1 },
            { name: 'forms', minShareCount: 2 }
          ]
        }
      }
    }
  },
  server: { proxy: { '/api': API, '/readyz': API, '/healthz': API } },
  test: { include: ['src/**/*.test.ts'], environment: 'node', testTimeout: 120_000 }
})
