/** Resolves when the browser has drawn what is in the page now; at once in a window that it does not draw. */
export function drawn(): Promise<void> {
  if (document.visibilityState !== 'visible') return Promise.resolve()
  return new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))
}
