declare module 'virtual:document-schema' {
  import type { Node } from './lib/schema'
  /** By name; `Document` is the whole. */
  const schemas: Record<string, Node>
  export default schemas
}
