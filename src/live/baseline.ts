/** Reads the baseline of a path: a resource, or all of a collection, with versions and its position. PROTOCOL.md §4.3, §4.4, §4.8. */
import {
  encodeSegment,
  isJsonObject,
  type Json,
  type JsonObject,
  LockstepError,
  type Position,
  parseMarker,
  parsePath,
} from '../contract/index.ts'
import { type ApiRequest, toApiError } from './api-request.ts'

export interface BaselineItem {
  readonly path: string
  readonly version: number
  readonly state: JsonObject
}

export interface Baseline {
  readonly kind: 'collection' | 'resource'
  /** None, or one, for a resource. */
  readonly items: readonly BaselineItem[]
  /** Everything up to here is in it. */
  readonly position: Position
}

export interface BaselineOptions {
  readonly maxItems: number
  readonly headers: Readonly<Record<string, string>>
}

const pageSize = 1_000

/** Errors: `api-unreachable`, `timeout`, `api-refused`; `too-many-changes` for a collection over `maxItems`. */
export async function readBaseline(
  path: string,
  request: ApiRequest,
  options: BaselineOptions,
): Promise<Baseline> {
  const { kind, stream } = parsePath(path)
  if (kind === 'resource') return await readResource(path, stream, request, options)
  const items: BaselineItem[] = []
  let position: Position | undefined
  let next: string | undefined = `${path}?limit=${Math.min(pageSize, options.maxItems)}&versions=true`
  while (next !== undefined) {
    const response: Response = await request(next, { headers: options.headers })
    if (response.status !== 200) throw await toApiError(response, path)
    // The marker of the first page is that of the list.
    position ??= positionOf(response, stream, path)
    items.push(...readItems(response, path, (await response.json()) as Json))
    next = /<[^>]*\?([^>]*)>;\s*rel="next"/.exec(response.headers.get('link') ?? '')?.[1]
    if (next !== undefined) next = `${path}?${next}`
    if (items.length > options.maxItems || (next !== undefined && items.length === options.maxItems)) {
      throw new LockstepError(
        'too-many-changes',
        `${path} has over ${options.maxItems} resources, too many for one page. Follow single ones, or raise maxItems.`,
      )
    }
  }
  return { kind, items, position: position! }
}

async function readResource(
  path: string,
  stream: string,
  request: ApiRequest,
  { headers }: BaselineOptions,
): Promise<Baseline> {
  const response = await request(path, { headers })
  const isNowhere = response.status === 404 || response.status === 410
  if (isNowhere && response.headers.has('lockstep-marker')) {
    return { kind: 'resource', items: [], position: positionOf(response, stream, path) }
  }
  if (response.status !== 200) throw await toApiError(response, path)
  const version = Number(/^"[A-Za-z0-9]+\.(\d+)/.exec(response.headers.get('etag') ?? '')?.[1])
  const state = (await response.json()) as Json
  if (!isJsonObject(state) || !Number.isSafeInteger(version))
    throw unreadable(path, 'it has no version in its ETag')
  return { kind: 'resource', items: [{ path, version, state }], position: positionOf(response, stream, path) }
}

function readItems(response: Response, path: string, list: Json): readonly BaselineItem[] {
  const versions = (response.headers.get('lockstep-versions') ?? '').split(',').filter(text => text !== '')
  if (!Array.isArray(list) || list.length !== versions.length)
    throw unreadable(path, 'it is no list with versions')
  return list.map((state, index) => {
    if (!isJsonObject(state) || typeof state['id'] !== 'string')
      throw unreadable(path, 'one of its items has no id')
    return { path: `${path}/${encodeSegment(state['id'])}`, version: Number(versions[index]), state }
  })
}

function positionOf(response: Response, stream: string, path: string): Position {
  const marker = parseMarker(response.headers.get('lockstep-marker') ?? '')
  const position = marker.find(other => other.stream === stream)
  if (position === undefined) throw unreadable(path, 'it has no Lockstep-Marker for its stream')
  return position
}

function unreadable(path: string, what: string): LockstepError {
  return new LockstepError('api-refused', `The answer to GET ${path} cannot be used: ${what}.`)
}
