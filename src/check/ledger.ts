/**
 * What was written, by the answers alone: each acknowledged write with the change that it must have made.
 *
 * A change is known by its resource and version, so that it does not matter in which order writers were served.
 */
import { isJsonObject, isUnder, type JsonObject, parseEntityTag, parsePath } from '../contract/index.ts'
import type { Exchange } from './api.ts'

export interface Written {
  readonly event: 'created' | 'modified' | 'deleted'
  /** The canonical path. */
  readonly resource: string
  /** After the change; of a deletion the answer does not say it. */
  readonly version: number | undefined
  /** The canonical path whose topic it is told on: that of the endpoint that was called. PROTOCOL.md 2.3. */
  readonly endpoint: string
  /** After the change; `undefined` for a deletion. */
  readonly state: JsonObject | undefined
  readonly exchange: Exchange
  /** What the answers of this version had for `X-Request-Id`: one made it, others may have changed nothing. */
  readonly causes: readonly string[]
}

export interface Ledger {
  readonly written: readonly Written[]
  /** Takes in the answer to a write. Answers that made no change say so by their version, and are not taken twice. */
  take(exchange: Exchange): Written | undefined
  /** Declares that of this resource more may have been written than was acknowledged. */
  doubt(resource: string): void
  isDoubtful(resource: string): boolean
  /** Was it made by us, or does it lie below what was? */
  isOurs(resource: string): boolean
  /** The resources that were made here and are not nested, for the end. */
  readonly roots: ReadonlySet<string>
}

export function createLedger(root: string): Ledger {
  const written: Written[] = []
  const known = new Map<string, string[]>()
  const roots = new Set<string>()
  const ours = new Set<string>()
  const doubtful = new Set<string>()
  const rootPath = new URL(root).pathname.replace(/\/+$/, '')

  const take = (exchange: Exchange): Written | undefined => {
    const { method, status, headers } = exchange
    if (status < 200 || status > 299 || headers['idempotency-replayed'] === 'true') return undefined
    const called = canonical(exchange.target)
    if (called === undefined) return undefined
    const causes = headers['x-request-id'] === undefined ? [] : [headers['x-request-id']]
    if (method === 'DELETE')
      return add({
        event: 'deleted',
        resource: called,
        version: undefined,
        endpoint: called,
        state: undefined,
        exchange,
        causes,
      })
    const resource = method === 'POST' ? locate(headers['location']) : called
    const version = readVersion(exchange)
    if (resource === undefined || version === undefined || !isJsonObject(exchange.json)) return undefined
    const event = status === 201 ? 'created' : 'modified'
    return add({ event, resource, version, endpoint: called, state: exchange.json, exchange, causes })
  }
  const add = (change: Written): Written | undefined => {
    if (change.version !== undefined) {
      const key = `${change.resource} ${change.version}`
      const causes = known.get(key)
      if (causes !== undefined) {
        causes.push(...change.causes)
        return undefined
      }
      known.set(key, change.causes as string[])
    }
    if (change.event === 'created') {
      ours.add(change.resource)
      if (change.resource.split('/').length === 3) roots.add(change.resource)
    }
    written.push(change)
    return change
  }
  const locate = (location: string | undefined): string | undefined => {
    if (location === undefined) return undefined
    const { pathname } = new URL(location, `${root}/`)
    return pathname.startsWith(rootPath) ? canonical(pathname.slice(rootPath.length)) : undefined
  }
  return {
    written,
    take,
    doubt(resource) {
      doubtful.add(resource)
      ours.add(resource)
      if (resource.split('/').length === 3) roots.add(resource)
    },
    isDoubtful: resource => [...doubtful].some(each => isUnder(resource, each)),
    isOurs(resource) {
      for (let path = resource; path !== ''; path = path.slice(0, path.lastIndexOf('/')))
        if (ours.has(path)) return true
      return false
    },
    roots,
  }
}

/** The canonical path of a target, without its query; `undefined` where it is none. */
export function canonical(target: string): string | undefined {
  try {
    return parsePath(target.split('?', 1)[0]!).path
  } catch {
    return undefined
  }
}

/** The version that the entity tag of a resource names (4.4). */
export function readVersion({ headers }: Pick<Exchange, 'headers'>): number | undefined {
  const tag = readTag(headers['etag'])
  return tag?.kind === 'version' ? tag.number : undefined
}

export interface ReadTag {
  readonly epoch: string
  readonly kind: 'version' | 'seq'
  readonly number: number
}

/** Reads what an entity tag says by 4.4; `undefined` where it is none of this kind, or weak. */
export function readTag(text: string | undefined): ReadTag | undefined {
  const tag = text === undefined ? undefined : parseEntityTag(text)
  if (tag === undefined || tag.weak) return undefined
  const [, epoch, isSeq, digits] = /^([A-Za-z0-9]{1,32})\.(s?)(\d{1,15})(?:;.*)?$/.exec(tag.opaque) ?? []
  if (epoch === undefined) return undefined
  return { epoch, kind: isSeq === 's' ? 'seq' : 'version', number: Number(digits) }
}
