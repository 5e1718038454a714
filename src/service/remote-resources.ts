/**
 * Resources of other services, read by their ids over REST: together where the other side's list can do that, else one by
 * one, a few at a time; and always in time, with what came and the reason for what did not.
 */
import {
  checkDepth,
  type ErrorCode,
  errorCodes,
  isJsonObject,
  type Json,
  type JsonObject,
  LockstepError,
  type Marker,
  maxJsonDepth,
  quote,
  type ReportError,
  tryEncodeSegment,
} from '../contract/index.ts'
import type { RemoteCollection } from './reference.ts'
import { keyOf, type RemoteAnswer, RemoteCache } from './remote-cache.ts'
import { createShare } from './share.ts'

/** Why a resource could not be read. */
export interface Miss {
  readonly code: ErrorCode
  readonly status: number
  readonly detail: string
}

/** A resource, or why there is none; with the marker of the answer that says so, where it has one. */
export type RemoteFind = { readonly marker?: Marker | undefined } & (
  | { readonly state: JsonObject }
  | { readonly miss: Miss }
)

export interface RemoteResources {
  /** Reads resources of a collection. `acceptLanguage` is sent as it is. Gives one find per id, and never rejects. */
  read(
    collection: Required<RemoteCollection>,
    ids: readonly string[],
    acceptLanguage: string,
  ): Promise<ReadonlyMap<string, RemoteFind>>
}

/** Ids asked for by one request. */
const batchIds = 50
/** The longest text of ids in one URL. */
const batchChars = 4_000
/** Requests that run at once for one read. */
const maxConcurrent = 8

/** For so long a list that could not give items by their ids is not asked for them again: it may be another release by then. */
const singleOnlyMs = 60_000

/** What one read has in common. */
interface Reading {
  readonly collection: Required<RemoteCollection>
  readonly acceptLanguage: string
  readonly signal: AbortSignal
  readonly finds: Map<string, RemoteFind>
  /** What failed last, for those who look after the service. */
  cause: unknown
}

/** `closing` ends what waits. A collection that cannot be read is told to `onError`, once until it can be read again. */
export function createRemoteResources(
  closing: AbortSignal,
  onError: ReportError,
  now: () => number = () => performance.now(),
): RemoteResources {
  const cache = new RemoteCache()
  const share = createShare()
  /** Collections whose list cannot give items by their ids, and until when that is believed. */
  const singleOnly = new Map<string, number>()
  const failing = new Set<string>()

  async function get({ collection, acceptLanguage, signal }: Reading, url: string): Promise<RemoteAnswer> {
    const headers = { ...collection.headers(), accept: 'application/json', 'accept-language': acceptLanguage }
    for (;;) {
      try {
        return await share(keyOf({ url, headers }), () => cache.get({ url, headers, signal }))
      } catch (error) {
        // It was the time of another reader, who began earlier, that is over.
        if (!isTimeout(error) || signal.aborted) throw error
      }
    }
  }

  /** Leaves out what is then asked for one by one. */
  async function readBatch(reading: Reading, ids: readonly string[]): Promise<void> {
    const { collection, finds } = reading
    const values = ids.map(id => id.replaceAll('%', '%25').replaceAll(',', '%2C')).join(',')
    const url = `${collection.url}?limit=${batchIds}&id:in=${encodeURIComponent(values)}`
    const answer = await get(reading, url)
    if (answer.status >= 500 || [401, 403, 429].includes(answer.status)) {
      const miss = missOfStatus(answer.status)
      for (const id of ids) finds.set(id, { miss })
      return
    }
    const items = answer.status === 200 ? parseAnswer(answer.text) : undefined
    // Who does not know the parameter may pass it over, and answer with anything; who sends a marker does not.
    if (answer.marker === undefined || !Array.isArray(items)) {
      singleOnly.set(collection.url, now() + singleOnlyMs)
      return
    }
    for (const state of items) {
      if (isJsonObject(state) && typeof state['id'] === 'string')
        finds.set(state['id'], { state, marker: answer.marker })
    }
    if (answer.more) return
    for (const id of ids)
      if (!finds.has(id))
        finds.set(id, { miss: missOf('not-found', 'There is no such resource.'), marker: answer.marker })
  }

  async function readOne(reading: Reading, id: string): Promise<void> {
    const { collection, finds } = reading
    const segment = hasSlash(id) ? undefined : tryEncodeSegment(id)
    if (segment === undefined) {
      finds.set(id, { miss: missOf('not-found', `No resource has the id ${quote(id)}.`) })
      return
    }
    const { status, text, marker } = await get(reading, `${collection.url}/${segment}`)
    const state = status === 200 ? parseAnswer(text) : undefined
    finds.set(id, isJsonObject(state) ? { state, marker } : { miss: missOfStatus(status), marker })
  }

  function tell({ collection, finds, cause }: Reading): void {
    const { url } = collection
    const failure = [...finds.values()].find(find => 'miss' in find && !isAbsent(find.miss))
    if (failure === undefined || !('miss' in failure)) failing.delete(url)
    else if (!failing.has(url)) {
      failing.add(url)
      const { code, detail } = failure.miss
      const message = `What is to be embedded cannot be read from ${url}: ${detail} Responses are given without it; look after that service.`
      onError(new LockstepError(code, message, { cause }), { stage: 'embed' })
    }
  }

  return {
    async read(collection, ids, acceptLanguage) {
      const signal = AbortSignal.any([closing, AbortSignal.timeout(collection.timeoutMs)])
      const reading: Reading = { collection, acceptLanguage, signal, finds: new Map(), cause: undefined }
      const { finds } = reading
      const attempt = async (asked: readonly string[], read: () => Promise<void>): Promise<void> => {
        try {
          await read()
        } catch (error) {
          reading.cause = error
          const miss = missOfFailure(error, collection)
          for (const id of asked) if (!finds.has(id)) finds.set(id, { miss })
        }
      }
      const isTogether = ids.length > 1 || ids.some(hasSlash)
      const batches = isTogether ? cutBatches(ids.filter(id => tryEncodeSegment(id) !== undefined)) : []
      await inTurns(batches, async batch => {
        if (now() >= (singleOnly.get(collection.url) ?? 0))
          await attempt(batch, () => readBatch(reading, batch))
      })
      const left = ids.filter(id => !finds.has(id))
      await inTurns(left, id => attempt([id], () => readOne(reading, id)))
      tell(reading)
      return finds
    },
  }
}

/** Runs some at once, the others as these end. */
async function inTurns<Item>(items: readonly Item[], run: (item: Item) => Promise<void>): Promise<void> {
  const waiting = items.values()
  const runner = async (): Promise<void> => {
    for (const item of waiting) await run(item)
  }
  await Promise.all(Array.from({ length: Math.min(maxConcurrent, items.length) }, runner))
}

/** Sorted, so that the same ids make the same URLs, whose answers are kept. */
function cutBatches(ids: readonly string[]): readonly (readonly string[])[] {
  const batches: string[][] = []
  let chars = 0
  for (const id of ids.toSorted()) {
    chars += encodeURIComponent(id).length + 3
    if (batches.length === 0 || batches.at(-1)!.length === batchIds || chars > batchChars) {
      batches.push([])
      chars = encodeURIComponent(id).length + 3
    }
    batches.at(-1)!.push(id)
  }
  return batches
}

/** Encoded or not, a slash in a path may lead a server or a proxy elsewhere; in a query it does not. */
function hasSlash(id: string): boolean {
  return /[/\\]/.test(id)
}

function parseAnswer(text: string): Json {
  const value = JSON.parse(text) as Json
  checkDepth(value, maxJsonDepth)
  return value
}

/** It was looked for, and is not there. */
function isAbsent({ code }: Miss): boolean {
  return code === 'not-found' || code === 'gone'
}

export function missOf(code: ErrorCode, detail: string): Miss {
  return { code, status: errorCodes[code].status, detail }
}

function missOfStatus(status: number): Miss {
  if (status === 404) return missOf('not-found', 'There is no such resource.')
  if (status === 410) return missOf('gone', 'The resource was deleted.')
  return missOf('api-refused', `The other service answered with ${status}.`)
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.name === 'TimeoutError'
}

/** Says no more than clients may know: neither addresses nor reasons from inside. */
function missOfFailure(error: unknown, { timeoutMs }: Required<RemoteCollection>): Miss {
  const name = error instanceof Error ? error.name : ''
  if (isTimeout(error)) return missOf('timeout', `The other service did not answer within ${timeoutMs} ms.`)
  if (error instanceof TypeError || name === 'AbortError')
    return missOf('api-unreachable', 'The other service cannot be reached.')
  return missOf('api-refused', 'The other service gave an answer that cannot be read.')
}
