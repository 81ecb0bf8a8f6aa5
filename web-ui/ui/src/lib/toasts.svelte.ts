/** Short words about what has been done, or could not be. Errors stay until they are put away. */

export interface Toast {
  id: number
  kind: 'good' | 'error' | 'info'
  text: string
  /** What can be done about it. */
  action?: { label: string; run: () => void }
}

const MOST = 4
const SHOWN = 5_000

let toasts: Toast[] = $state([])
let last = 0

export const shown = {
  get toasts() {
    return toasts
  }
}

export function toast(kind: Toast['kind'], text: string, action?: Toast['action']): void {
  last += 1
  const id = last
  const next: Toast = action ? { id, kind, text, action } : { id, kind, text }
  toasts = [...toasts.slice(1 - MOST), next]
  if (kind !== 'error') setTimeout(() => dismiss(id), action ? SHOWN * 2 : SHOWN)
}

/** Of whatever was thrown. */
export function complain(error: unknown): void {
  toast('error', error instanceof Error ? error.message : String(error))
}

export function dismiss(id: number): void {
  toasts = toasts.filter((toast) => toast.id !== id)
}
