/**
 * Gathers the documents of services, again and again, and keeps the last known part of one that is down.
 *
 * What it holds is replaced as a whole, so that who reads it sees one state. A document that is fetched but cannot be used counts
 * as not answered: what was known before stays, and says since when.
 */
import {
  createErrorReport,
  isLockstepError,
  type JsonObject,
  LockstepError,
  type ReportError,
} from '../../contract/index.ts'
import { kindOf } from './document-kind.ts'
import { parseDocumentText } from './document-text.ts'
import { type Fetched, fetchDocument } from './fetch-document.ts'
import type { Part } from './part.ts'
import { type DocumentSource, type KnownSource, readSource } from './source.ts'
import { listDeclarations, upgradeOpenApi } from './upgrade.ts'

export type Audience = 'internal' | 'public'

export interface GathererOptions {
  readonly sources: readonly DocumentSource[]
  /** How often documents are asked for; what has not changed does not travel. @default 30_000 */
  readonly everyMs?: number
  /** @default 10_000 */
  readonly timeoutMs?: number
  /**
   * Further headers for a service that is made with Lockstep, made anew for each request: as whom it is asked, so that it gives the whole
   * document. Foreign services get none.
   */
  readonly headersFor?: (service: string) => Readonly<Record<string, string>>
  /** @default writes to stderr */
  readonly onError?: ReportError
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number
}

export interface Gatherer {
  /** What is known for an audience, in the order of the sources; services of which nothing is known are missing. */
  parts(audience: Audience): readonly Part[]
  /** Grows whenever the parts have changed. */
  readonly revision: number
  /** Asks all services now. Never rejects: what fails is reported, once per failure of a kind. */
  refresh(): Promise<void>
  /** Replaces the sources; what is known of those that stay is kept. */
  setSources(sources: readonly DocumentSource[]): void
  /** Begins to ask by itself. */
  start(): void
  close(): Promise<void>
}

/** What is held of one document. */
interface Held {
  readonly etag: string | undefined
  readonly document: JsonObject
}

interface Known {
  readonly source: KnownSource
  readonly held: Map<string, Held>
  /** Is each document as it was when last asked for? */
  staleSince: string | undefined
  lastSeen: string | undefined
  failure: string | undefined
}

const documents = ['openapi-internal', 'openapi-public', 'asyncapi-internal', 'asyncapi-public'] as const

/** Errors: `invalid-option`. */
export function createGatherer(options: GathererOptions): Gatherer {
  const { everyMs = 30_000, timeoutMs = 10_000, headersFor, now = Date.now } = options
  const onError = createErrorReport(options.onError)
  let known = readKnown(options.sources, [])
  let revision = 0
  let running: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  let isStarted = false
  const closing = new AbortController()

  async function refreshOne(one: Known): Promise<void> {
    try {
      let hasChanged = false
      const found = await readAll(one, {
        timeoutMs,
        signal: closing.signal,
        headers: {
          ...one.source.headers,
          ...(one.source.isOwn ? headersFor?.(one.source.service) : {}),
        },
      })
      for (const [name, held] of found) {
        hasChanged ||= one.held.get(name) !== held
        one.held.set(name, held)
      }
      for (const name of [...one.held.keys()])
        if (!found.has(name)) hasChanged = one.held.delete(name) || hasChanged
      hasChanged ||= one.staleSince !== undefined
      one.staleSince = undefined
      one.failure = undefined
      one.lastSeen = new Date(now()).toISOString()
      if (hasChanged) revision++
    } catch (error) {
      if (closing.signal.aborted) return
      if (one.held.size > 0 && one.staleSince === undefined) {
        one.staleSince = one.lastSeen ?? new Date(now()).toISOString()
        revision++
      }
      const failure = isLockstepError(error) ? error.code : String(error)
      if (failure !== one.failure) onError(error, { stage: 'documents' })
      one.failure = failure
    }
  }

  const refresh = (): Promise<void> => {
    running ??= Promise.all(known.map(refreshOne)).then(() => {
      running = undefined
    })
    return running
  }
  let failedTimes = 0
  const plan = (): void => {
    // Services often come up together with the gateway: one that did not answer is asked again soon.
    failedTimes = known.some(one => one.failure !== undefined) ? failedTimes + 1 : 0
    const delayMs = failedTimes === 0 ? everyMs : Math.min(everyMs, 500 * 2 ** Math.min(failedTimes, 10))
    timer = setTimeout(() => void refresh().then(() => closing.signal.aborted || plan()), delayMs)
    timer.unref()
  }
  return {
    parts: audience => known.flatMap(one => partOf(one, audience)),
    get revision() {
      return revision
    },
    refresh,
    setSources(sources) {
      known = readKnown(sources, known)
      revision++
    },
    start() {
      if (isStarted || closing.signal.aborted) return
      isStarted = true
      void refresh().then(() => closing.signal.aborted || plan())
    },
    async close() {
      closing.abort()
      clearTimeout(timer)
      await running
    },
  }
}

function readKnown(sources: readonly DocumentSource[], before: readonly Known[]): Known[] {
  const known = sources.map(readSource)
  const twice = known.find(
    ({ service, version }, index) =>
      known.findIndex(other => other.service === service && other.version === version) !== index,
  )
  if (twice !== undefined) {
    throw new LockstepError(
      'invalid-option',
      `The documents of the service "${twice.service}" are configured twice.`,
    )
  }
  return known.map(source => {
    const same = before.find(one => JSON.stringify(one.source) === JSON.stringify(source))
    return same ?? { source, held: new Map(), staleSince: undefined, lastSeen: undefined, failure: undefined }
  })
}

interface Reading {
  readonly timeoutMs: number
  readonly headers: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

async function readAll(one: Known, reading: Reading): Promise<ReadonlyMap<string, Held>> {
  const { openApi, asyncApi, isOwn } = one.source
  const found = new Map<string, Held>()
  const addresses: [name: (typeof documents)[number], url: URL | undefined, isWanted: boolean][] = [
    ['openapi-internal', openApi, true],
    ['asyncapi-internal', asyncApi, true],
    ['openapi-public', forPublic(openApi), isOwn],
    ['asyncapi-public', forPublic(asyncApi), isOwn],
  ]
  await Promise.all(
    addresses.map(async ([name, url, isWanted]) => {
      if (url === undefined || !isWanted) return
      const before = one.held.get(name)
      const fetched = await fetchDocument(url, {
        ...reading,
        etag: before?.etag,
      })
      found.set(name, fetched.text === undefined ? before! : await readOne(one, url, fetched, reading))
    }),
  )
  return found
}

function forPublic(url: URL | undefined): URL | undefined {
  if (url === undefined) return undefined
  const result = new URL(url)
  result.searchParams.set('audience', 'public')
  return result
}

async function readOne(
  { source }: Known,
  url: URL,
  { text, etag }: Fetched,
  reading: Reading,
): Promise<Held> {
  const name = `The document of ${source.service}`
  const document = parseDocumentText(name, text!)
  const kind = kindOf(document)
  if (kind === 'asyncapi-3') return { etag, document }
  if (kind === 'asyncapi-2') {
    throw new LockstepError('api-refused', `${name} is AsyncAPI 2, which cannot be joined. Give AsyncAPI 3.`)
  }
  const declarations: Record<string, JsonObject> = {}
  for (const path of listDeclarations(document)) {
    // Below the listing, and so on the address that is configured.
    const address = new URL(`${url.pathname.replace(/\/+$/, '')}/${path.replace(/^\/+/, '')}`, url)
    if (address.origin !== url.origin) continue
    const declaration = await fetchDocument(address, reading)
    declarations[path] = parseDocumentText(name, declaration.text!)
  }
  return { etag, document: await upgradeOpenApi(name, document, declarations) }
}

function partOf({ source, held, staleSince }: Known, audience: Audience): Part[] {
  const suffix = source.isOwn ? audience : 'internal'
  const openApi = held.get(`openapi-${suffix}`)?.document
  const asyncApi = held.get(`asyncapi-${suffix}`)?.document
  if (openApi === undefined && asyncApi === undefined) return []
  return [
    {
      service: source.service,
      ...(source.version === undefined ? {} : { version: source.version }),
      isDeprecated: source.isDeprecated,
      mount: source.mount,
      root: source.root,
      paths: source.paths,
      openApi,
      asyncApi,
      staleSince,
    },
  ]
}
