/** Where the focus is before a window opens, and again once it is closed. */

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
