/** Light, dark, or as the system is. */

export type Theme = 'system' | 'light' | 'dark'

const STORED = 'palisade-theme'
const dark = matchMedia('(prefers-color-scheme: dark)')

let chosen: Theme = $state(stored())
let systemIsDark = $state(dark.matches)

export const theme = {
  get chosen() {
    return chosen
  },
  get dark() {
    return chosen === 'dark' || (chosen === 'system' && systemIsDark)
  },
  choose(next: Theme) {
    chosen = next
    try {
      localStorage.setItem(STORED, next)
    } catch {
      // It holds until the page is closed.
    }
    show()
  }
}

function stored(): Theme {
  try {
    const text = localStorage.getItem(STORED)
    if (text === 'light' || text === 'dark') return text
  } catch {
    // The system's.
  }
  return 'system'
}

function show(): void {
  document.documentElement.dataset['theme'] = theme.dark ? 'dark' : 'light'
}

dark.addEventListener('change', () => {
  systemIsDark = dark.matches
  show()
})
show()
