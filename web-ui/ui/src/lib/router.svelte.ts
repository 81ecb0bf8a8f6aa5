/**
 * Where the user is: a page, what it is about, and its filters, all in the address bar, so that every view can be
 * linked, reloaded and gone back to.
 */

import { SvelteURLSearchParams } from 'svelte/reactivity'

const BASE = '/ui/'

function read(): { page: string; name: string; search: string } {
  const path = location.pathname
  const rest = path.startsWith(BASE) ? path.slice(BASE.length) : ''
  const [page = '', ...names] = rest.split('/')
  return { page: page || 'dashboard', name: names.map(decode).join('/'), search: location.search }
}

function pageOf(path: string): string {
  return path.startsWith(BASE) ? (path.slice(BASE.length).split('/')[0] ?? '') : ''
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

let here = $state.raw(read())
/** Why the user should not leave: what was typed and not sent. */
const guards = new Set<() => boolean>()
let asking: ((leave: boolean) => void) | undefined = $state()

export const route = {
  get page() {
    return here.page
  },
  get name() {
    return here.name
  },
  get query(): URLSearchParams {
    return new SvelteURLSearchParams(here.search)
  },
  /** The question whether to leave is open. */
  get asking() {
    return asking !== undefined
  },
  answer(leave: boolean) {
    asking?.(leave)
    asking = undefined
  }
}

/** The address of a page, with its filters; those that are empty are left out. */
export function href(page: string, name = '', query: Record<string, string | number | undefined | null> = {}): string {
  const path = page === 'dashboard' && !name ? '/' : BASE + page + (name ? `/${encodeURIComponent(name)}` : '')
  const search = new URLSearchParams()
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== '') search.set(key, String(value))
  }
  const text = search.toString()
  return text ? `${path}?${text}` : path
}

export async function go(address: string, how: { replace?: boolean } = {}): Promise<void> {
  const target = new URL(address, location.href)
  const samePage = pageOf(target.pathname) === pageOf(location.pathname)
  if (!samePage && !(await mayLeave())) return
  if (how.replace) history.replaceState(null, '', target)
  else history.pushState(null, '', target)
  here = read()
  if (!samePage) document.getElementById('main')?.focus({ preventScroll: false })
}

/** Changes filters of this page; one that is empty goes away. */
export function filter(changes: Record<string, string | undefined | null>): void {
  const query = new URLSearchParams(here.search)
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined || value === null || value === '') query.delete(key)
    else query.set(key, value)
  }
  const text = query.toString()
  void go(location.pathname + (text ? `?${text}` : ''), { replace: true })
}

/** While `dirty` says so, leaving asks first. Returns how to stop. */
export function guard(dirty: () => boolean): () => void {
  guards.add(dirty)
  return () => guards.delete(dirty)
}

async function mayLeave(): Promise<boolean> {
  if (![...guards].some((dirty) => dirty())) return true
  return new Promise((resolve) => {
    asking = resolve
  })
}

/** Called once. */
export function follow(): void {
  addEventListener('popstate', () => {
    const before = here
    if (location.pathname === pathOf(before) || ![...guards].some((dirty) => dirty())) {
      here = read()
      return
    }
    const target = location.href
    history.pushState(null, '', pathOf(before) + before.search)
    void go(target)
  })
  addEventListener('beforeunload', (event) => {
    if ([...guards].some((dirty) => dirty())) event.preventDefault()
  })
  addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
    const link = event.target instanceof Element ? event.target.closest('a') : null
    if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin) return
    if (link.pathname !== '/' && !link.pathname.startsWith(BASE)) return
    if (link.getAttribute('href')?.startsWith('#')) return
    event.preventDefault()
    void go(link.href)
  })
}

function pathOf(where: { page: string; name: string }): string {
  return href(where.page, where.name)
}
