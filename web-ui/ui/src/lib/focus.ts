/** Where the focus is before a window opens, and again once it is closed; and where it goes when a form is refused. */

import type { Attachment } from 'svelte/attachments'

import type { Complaints } from '../api/problem'

/**
 * Opens `dialog` as a modal window; returns how to close it. The browser gives the focus back to what had it, but not any
 * more once the window is out of the page, as it is when Svelte has removed it.
 */
export function openModal(dialog: HTMLDialogElement): () => void {
  const before = document.activeElement
  dialog.showModal()
  return () => {
    const had = dialog.contains(document.activeElement) || document.activeElement === document.body
    dialog.close()
    const now = before instanceof HTMLElement && before !== document.body && before.isConnected ? before : document.getElementById('main')
    if (had) now?.focus({ preventScroll: true })
  }
}

/**
 * For a form: whenever there is something new to say of it, the focus goes to the first field that this is about, or else to
 * what is said of the whole. The button that sent it had it, and can't keep it while it is disabled.
 */
export function toMistakes({ fields, within, general }: Complaints): Attachment<HTMLFormElement> {
  return (form) => {
    if (general.length > 0 || Object.keys(fields).length > 0 || Object.keys(within).length > 0) toMistake(form)
  }
}

const CONTROLS = 'input:not(:disabled), select:not(:disabled), textarea:not(:disabled), button:not(:disabled)'

function toMistake(form: HTMLFormElement): void {
  const wrong = form.querySelector<HTMLElement>('[aria-invalid="true"], [data-field] .error, .field .error')
  const field = wrong?.closest<HTMLElement>('.field, fieldset, .item') ?? wrong
  const control = wrong?.matches(CONTROLS) ? wrong : (wrong?.querySelector<HTMLElement>(CONTROLS) ?? field?.querySelector<HTMLElement>(CONTROLS))
  const target = control ?? form.querySelector<HTMLElement>('[role="alert"]')
  if (!target) return
  // What is said of the whole takes no input, but can be read from there on.
  if (!control) target.tabIndex = -1
  target.focus({ preventScroll: true })
  const shown = control ? (field ?? control) : target
  shown.scrollIntoView({ block: 'center' })
}
