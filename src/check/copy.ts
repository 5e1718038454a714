/**
 * A live copy, kept as PROTOCOL.md §6 asks a follower to: a baseline with its marker, then messages in the order of their
 * numbers. It is a reader of its own, made to judge with, and shares nothing with the part that follows for applications.
 */
import {
  applyMergePatch,
  isJsonObject,
  type JsonObject,
  parseMarker,
  parsePosition,
  tryEncodeSegment,
} from '../contract/index.ts'
import type { Api } from './api.ts'
import { readFeedPage } from './feed.ts'

export interface Copied {
  readonly version: number
  /** `undefined` where it was deleted, or where only its version is known. */
  readonly state: JsonObject | undefined
  readonly isDeleted: boolean
  /** The state is not known: it was told without it, or applied to what was not held. */
  readonly isOpen: boolean
}

export interface Copy {
  readonly stream: string
  readonly epoch: string
  /** The number up to which everything was taken in. */
  readonly position: number
  readonly resources: ReadonlyMap<string, Copied>
  /** What could not be taken in as it came, in words. */
  readonly faults: readonly string[]
  /** Takes in a message; what is ahead of its turn waits for those before. */
  take(message: JsonObject): void
}

export type Copies = ReadonlyMap<string, Copy>

const maxBaselinePages = 20

/** Takes the baseline of a collection at the top: what it holds, with its versions, and the marker of its first page. */
export async function openCopy(api: Api, stream: string): Promise<Copy> {
  const resources = new Map<string, Copied>()
  let marker: string | undefined
  let target: string | undefined = `/${stream}?versions=true&limit=1000`
  for (let page = 0; page < maxBaselinePages && target !== undefined; page++) {
    const exchange = await api.ask('GET', target)
    if (exchange.status !== 200 || !Array.isArray(exchange.json)) break
    marker ??= exchange.headers['lockstep-marker']
    const versions = (exchange.headers['lockstep-versions'] ?? '').split(',').map(Number)
    for (const [index, state] of exchange.json.entries()) {
      const segment = isJsonObject(state) ? tryEncodeSegment(String(state['id'])) : undefined
      if (segment === undefined || !isJsonObject(state)) continue
      const version = versions[index] || 0
      resources.set(`/${stream}/${segment}`, { version, state, isDeleted: false, isOpen: false })
    }
    target = nextTarget(api, exchange.headers['link'])
  }
  const position = tryToRead(marker)?.find(each => each.stream === stream)
  if (position !== undefined) return createCopy(stream, position.epoch, position.seq, resources)
  // Without a marker the feed says where it is; the check of markers tells of it.
  const { epoch, head } = await readFeedPage(api, stream, 'after=now')
  return createCopy(stream, epoch, head, resources)
}

export function createCopy(
  stream: string,
  epoch: string,
  seq: number,
  resources: Map<string, Copied> = new Map(),
): Copy {
  const waiting = new Map<number, JsonObject>()
  const faults: string[] = []
  let position = seq

  const take = (message: JsonObject): void => {
    const at = tryToParse(message['id'])
    if (at === undefined || at.stream !== stream || at.epoch !== epoch || at.seq <= position) return
    if (message['event'] === 'reset') {
      faults.push(`a reset came at ${at.seq}`)
      return
    }
    waiting.set(at.seq, message)
    for (let next = waiting.get(position + 1); next !== undefined; next = waiting.get(position + 1)) {
      position++
      waiting.delete(position)
      apply(next)
    }
  }
  const apply = (message: JsonObject): void => {
    const { event, resource, version, state, changes } = message
    if (typeof resource !== 'string' || typeof version !== 'number') return
    const held = resources.get(resource)
    // A baseline is at least as new as its marker: what it holds already is told again.
    if (held !== undefined && version <= held.version) return
    if (event === 'deleted')
      resources.set(resource, { version, state: undefined, isDeleted: true, isOpen: false })
    else if (isJsonObject(state)) resources.set(resource, { version, state, isDeleted: false, isOpen: false })
    else if (isJsonObject(changes) && held?.state !== undefined && held.version === version - 1) {
      const after = applyMergePatch(held.state, changes) as JsonObject
      resources.set(resource, { version, state: after, isDeleted: false, isOpen: false })
    } else resources.set(resource, { version, state: undefined, isDeleted: false, isOpen: true })
  }
  return {
    stream,
    epoch,
    get position() {
      return position
    },
    resources,
    faults,
    take,
  }
}

/** The target that `Link: <…>; rel="next"` leads to, below the root. */
export function nextTarget({ root }: Api, link: string | undefined): string | undefined {
  const address = /<([^>]*)>\s*;[^,]*rel="?next"?/.exec(link ?? '')?.[1]
  if (address === undefined) return undefined
  const { pathname, search } = new URL(address, `${root}/`)
  const base = new URL(root).pathname.replace(/\/+$/, '')
  return pathname.startsWith(base) ? pathname.slice(base.length) + search : undefined
}

function tryToParse(id: unknown): ReturnType<typeof parsePosition> | undefined {
  try {
    return parsePosition(String(id))
  } catch {
    return undefined
  }
}

function tryToRead(marker: string | undefined): ReturnType<typeof parseMarker> | undefined {
  try {
    return marker === undefined ? undefined : parseMarker(marker)
  } catch {
    return undefined
  }
}
