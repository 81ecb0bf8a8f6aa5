declare module 'virtual:document-schema' {
  import type { Node } from './lib/schema'
  /** By name; `Document` is the whole. */
  const schemas: Record<string, Node>
  export default schemas
}

declare module 'virtual:content' {
  /** Each with its title; services also with their category. */
  const names: { services: [name: string, title: string, category: string][]; protocols: [name: string, title: string][] }
  export default names
}
