/** One service's share of the joined documents. */
import type { JsonObject } from '../../contract/index.ts'

export interface Part {
  /** As it stands in paths: `users`. */
  readonly service: string
  /** The version of the API that it is a share of, where several stand side by side: names are those of `users.v1` then. */
  readonly version?: string
  /** Is that version to end? */
  readonly isDeprecated?: boolean
  /** Where it is below the root of the joined document. @default '/' and the name of the service */
  readonly mount?: string
  /** OpenAPI 3.1; see upgrade.ts. */
  readonly openApi?: JsonObject
  /** AsyncAPI 3. */
  readonly asyncApi?: JsonObject
  /**
   * What stands before the paths of the service's document and is no part of a path below its root: `/api/v3` where the
   * document's server is `/api/v3` and the gateway forwards there already. @default ''
   */
  readonly root?: string
  /** Only what is below these is answered, as paths of the document below its mount. @default everything */
  readonly paths?: readonly string[]
  /** When what is known of the service was read, where it does not answer now. */
  readonly staleSince?: string
}

export interface JoinOptions {
  /** What stands before the services' names. @default '/api/v1' */
  readonly root?: string
  /** The same for each version, where several stand side by side. */
  readonly roots?: Readonly<Record<string, string>>
  /** @default 'API' */
  readonly title?: string
  /** @default '1.0.0' */
  readonly version?: string
  /** Markdown. */
  readonly description?: string
  /** For whom: of a service's own document only what is marked public is left. @default 'internal' */
  readonly audience?: 'internal' | 'public'
  /** What the door itself asks for and answers. @default what the services say, alone */
  readonly access?: DoorDescription
}

/** What a door adds to every operation behind it, as OpenAPI has it. */
export interface DoorDescription {
  /** How requests are authorized, in place of what the services say. */
  readonly security?: { readonly schemes: JsonObject; readonly requirements: readonly JsonObject[] }
  /** By status; an operation gets those that its service does not answer itself. */
  readonly responses?: Readonly<Record<string, JsonObject>>
  /** By name: what every response carries. */
  readonly headers?: JsonObject
  /** By name: what the responses refer to. */
  readonly schemas?: JsonObject
}

/** What the names of a part begin with. */
export function namespaceOf({ service, version }: Pick<Part, 'service' | 'version'>): string {
  return version === undefined ? service : `${service}.${version}`
}

/** What stands before the paths of a part: the root, and its place below it. */
export function placeOf({ service, version, mount = `/${service}` }: Part, options: JoinOptions): string {
  const { root = '/api/v1', roots = {} } = options
  return (version === undefined ? root : (roots[version] ?? root)) + mount
}

export interface Joined {
  readonly document: JsonObject
  /** What could not be kept as it was, each in a sentence. */
  readonly notes: readonly string[]
}

/** Is it for this audience? What is not marked is internal. */
export function isFor(audience: 'internal' | 'public', marked: JsonObject): boolean {
  return audience === 'internal' || marked['x-lockstep-audience'] === 'public'
}

/** Is the path of a part's document routed? */
export function isRouted({ paths }: Part, path: string): boolean {
  return paths?.some(each => each === '/' || path === each || path.startsWith(`${each}/`)) ?? true
}

/** What a document says of its services, for people and programs. */
export function describeParts(parts: readonly Part[], kind: 'openApi' | 'asyncApi'): JsonObject[] {
  return parts.flatMap(part => {
    const { staleSince, [kind]: document } = part
    if (document === undefined) return []
    const { title, version, description } = (document['info'] ?? {}) as JsonObject
    const entries = Object.entries({
      service: namespaceOf(part),
      title,
      version,
      description,
      'x-lockstep-stale-since': staleSince,
    })
    return [Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as JsonObject]
  })
}

/** The last segment of a pointer, as a name that may be a component's. */
export function componentName(service: string, name: string): string {
  return `${service}.${name.replaceAll(/[^A-Za-z0-9._-]/g, '_')}`
}
