/**
 * Which operations a face has, looked up in the gathered documents: a small tree of path segments per service.
 *
 * The internal face sees everything. Every other face sees what the documents mark as public, and nothing of a service of which
 * nothing is known. A literal segment goes before a parameter, as in OpenAPI.
 */
import type { Visibility } from '../visibility.ts'
import type { Gatherer } from './gatherer.ts'
import { listOperations } from './operation-list.ts'
import { isFor, namespaceOf, type Part } from './part.ts'
import { serverPath } from './server-path.ts'

interface Branch {
  readonly literals: Map<string, Branch>
  parameter: Branch | undefined
  /** In lower case; empty where no path ends. */
  readonly methods: Set<string>
}

/** Made of what a gatherer holds, again whenever that has changed. */
export function createVisibility(gatherer: Pick<Gatherer, 'parts' | 'revision'>): Visibility {
  let revision = -1
  let services = new Map<string, Branch>()
  return {
    isVisible(face, service, method, pathInService, version) {
      if (face === 'internal') return true
      if (gatherer.revision !== revision) {
        services = new Map(
          gatherer.parts('public').flatMap(part => {
            const tree = growTree(part)
            // What stands outside of the versions is the last one's.
            const names =
              part.version === undefined ? [part.service] : [namespaceOf(part), outside(part.service)]
            return names.map(name => [name, tree] as const)
          }),
        )
        revision = gatherer.revision
      }
      const tree =
        services.get(service) ??
        services.get(version === undefined ? outside(service) : namespaceOf({ service, version }))
      return tree !== undefined && has(tree, pathInService.split('/').slice(1), 0, method.toLowerCase())
    },
  }
}

/** No version has a name with a space. */
function outside(service: string): string {
  return `${service} `
}

/** HEAD is answered where GET is, OPTIONS wherever anything is. */
function has(branch: Branch, segments: readonly string[], index: number, method: string): boolean {
  if (index === segments.length) {
    const { methods } = branch
    return (
      methods.has(method) ||
      (method === 'head' && methods.has('get')) ||
      (method === 'options' && methods.size > 0)
    )
  }
  const segment = segments[index]!
  const literal = branch.literals.get(segment)
  if (literal !== undefined && has(literal, segments, index + 1, method)) return true
  return (
    segment !== '' &&
    !segment.startsWith('_') &&
    branch.parameter !== undefined &&
    has(branch.parameter, segments, index + 1, method)
  )
}

function growTree({ openApi, root }: Part): Branch {
  const tree = createBranch()
  if (openApi === undefined) return tree
  const prefix = serverPath(openApi, root)
  for (const { path, method, operation } of listOperations(openApi)) {
    if (!isFor('public', operation) || !path.startsWith('/')) continue
    let branch = tree
    const whole = path === '/' && prefix !== '' ? prefix : `${prefix}${path}`
    for (const segment of whole.split('/').slice(1)) branch = grow(branch, segment)
    branch.methods.add(method)
  }
  return tree
}

/** A segment with a parameter in it (`{id}.json`) is taken for one as a whole. */
function grow(branch: Branch, segment: string): Branch {
  if (segment.includes('{')) {
    branch.parameter ??= createBranch()
    return branch.parameter
  }
  let next = branch.literals.get(segment)
  if (next === undefined) {
    next = createBranch()
    branch.literals.set(segment, next)
  }
  return next
}

function createBranch(): Branch {
  return { literals: new Map(), parameter: undefined, methods: new Set() }
}
