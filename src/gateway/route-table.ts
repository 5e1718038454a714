/**
 * Finds where a path leads, by whole segments, the longest first. Built once from the settings and replaced as a whole.
 *
 * What a service has taken stays with it: what it does not know is its own 404, and never asked of another one.
 */
import type { Upstream } from '../upstream/index.ts'
import type { PathPair } from './rewriting.ts'
import type { ServiceSettings } from './service-settings.ts'
import type { Traffic } from './traffic.ts'

export interface Route {
  readonly face: string
  /** Missing where the API has no versions, and outside of it. */
  readonly version: string | undefined
  readonly service: string
  /** What clients write before the rest of the path; empty for everything. */
  readonly outside: string
  /** What the service has in its place, behind its root. */
  readonly inside: string
  /** The service's own root, before {@link inside}. */
  readonly root: string
  readonly settings: ServiceSettings
  readonly upstream: Upstream
  /** Names and values in turn, that every response carries: `Deprecation`, `Sunset`, their `Link`. */
  readonly notices: readonly string[]
  readonly traffic: Traffic
  /** All paths of the same service for the same clients, the longest inside first. */
  readonly own: readonly PathPair[]
  /** The same of any service, by the origin of one of its instances. */
  readonly byOrigin: (origin: string) => readonly PathPair[] | undefined
}

export interface Match {
  readonly face: string
  readonly route: Route | undefined
}

interface Node {
  readonly children: Map<string, Node>
  face?: string
  route?: Route
}

/** The routes that are reached through one port and host. */
export class RouteTable {
  readonly #root: Node = { children: new Map() }
  readonly #defaultFace: string

  constructor(defaultFace: string) {
    this.#defaultFace = defaultFace
  }

  /** Says that what is below the path belongs to a face. */
  addFace(path: string, face: string): void {
    this.#nodeAt(path).face = face
  }

  add(route: Route): void {
    this.#nodeAt(route.outside).route = route
  }

  match(path: string): Match {
    let node: Node | undefined = this.#root
    let face = node.face ?? this.#defaultFace
    let route = node.route
    let at = 1
    while (at <= path.length) {
      const slash = path.indexOf('/', at)
      const end = slash === -1 ? path.length : slash
      node = node.children.get(path.slice(at, end))
      if (node === undefined) break
      face = node.face ?? face
      route = node.route ?? route
      at = end + 1
    }
    return { face, route }
  }

  #nodeAt(path: string): Node {
    let node = this.#root
    for (const segment of path.split('/').slice(1)) {
      if (segment === '') continue
      let next = node.children.get(segment)
      if (next === undefined) {
        next = { children: new Map() }
        node.children.set(segment, next)
      }
      node = next
    }
    return node
  }
}
