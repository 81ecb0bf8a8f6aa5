/** What a form holds, without the reactivity around it. */
export function plain<T>(value: T): T {
  return $state.snapshot(value as unknown) as T
}
