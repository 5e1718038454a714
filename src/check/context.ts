/** What the checks work with: the API, its outline, what was written, what was heard, and shorthands for writing. */
import {
  formatPath,
  idOf,
  isJsonObject,
  type JsonObject,
  LockstepError,
  streamOf,
} from '../contract/index.ts'
import { show } from './answer.ts'
import type { Api, AskOptions, Exchange } from './api.ts'
import type { Copies } from './copy.ts'
import { readFeed } from './feed.ts'
import type { Hearing } from './hearing.ts'
import { type Ledger, readVersion } from './ledger.ts'
import type { Collection, Feature, MessageSchemas, Outline, Write } from './outline.ts'

/** Where the streams were before anything was written. */
export interface Beginning {
  readonly stream: string
  readonly epoch: string
  readonly head: number
}

export interface Made {
  /** The canonical path. */
  readonly path: string
  readonly id: string
  readonly state: JsonObject
  readonly version: number
  readonly tag: string
  readonly exchange: Exchange
}

export interface Context {
  readonly api: Api
  readonly outline: Outline
  readonly ledger: Ledger
  /** What stands before the topics. */
  readonly topicPrefix: string
  readonly beginnings: readonly Beginning[]
  readonly hearing: Hearing | undefined
  readonly copies: Copies
  readonly schemas: MessageSchemas | undefined
  readonly restart: (() => Promise<void>) | undefined
  /** How long to wait for a message that should have come. */
  readonly patienceMs: number
  /** Distinguishes this run from others. */
  readonly runId: string
  /** Another one at each call. */
  nextNumber(): number
  /** The path of a collection, with parents of its own where it is nested. */
  place(collection: Collection): Promise<string>
  /** Writes, and takes the answer into the ledger. */
  write(method: Write, target: string, options?: AskOptions): Promise<Exchange>
  /** Makes a resource with an id of its own. Errors: `api-refused` where that is refused. */
  make(collection: Collection, place: string, options?: MakeOptions): Promise<Made>
  /** All that was told of a stream since the beginning. */
  told(stream: string): Promise<readonly JsonObject[]>
  /** May a check take it that the API has this? */
  isDeclared(feature: Feature): boolean
}

export interface MakeOptions {
  readonly id?: string
  readonly headers?: Readonly<Record<string, string>>
}

export type ContextParts = Omit<Context, 'nextNumber' | 'place' | 'write' | 'make' | 'told' | 'isDeclared'>

export function createContext(parts: ContextParts): Context {
  const { api, ledger, outline, runId, beginnings } = parts
  let number = 0
  const nextNumber = (): number => ++number

  const write: Context['write'] = async (method, target, options) => {
    const exchange = await api.ask(method, target, options)
    ledger.take(exchange)
    return exchange
  }
  const make: Context['make'] = async (collection, place, { id, headers } = {}) => {
    const own = id ?? `check-${runId}-${nextNumber()}`
    const body = { id: own, ...collection.sampler.make(number) }
    const path = `${place}/${formatPath(['a', own]).path.slice(3)}`
    const exchange = collection.methods.has('POST')
      ? await write('POST', place, { body, headers })
      : await write('PUT', path, { body, headers })
    const version = readVersion(exchange)
    if (exchange.status !== 201 || version === undefined || !isJsonObject(exchange.json)) {
      const lack =
        exchange.status !== 201
          ? 'instead of 201'
          : 'but without an ETag of 4.4 or without the representation'
      throw new LockstepError('api-refused', `${show(exchange)} ${lack}; sent was ${JSON.stringify(body)}.`)
    }
    return { path, id: idOf(path), state: exchange.json, version, tag: exchange.headers['etag']!, exchange }
  }
  const place = async (collection: Collection): Promise<string> => {
    const name = collection.template.slice(collection.template.lastIndexOf('/'))
    if (collection.parent === undefined) return name
    const above = await make(collection.parent, await place(collection.parent))
    return above.path + name
  }
  return {
    ...parts,
    nextNumber,
    place,
    write,
    make,
    async told(stream) {
      const beginning = beginnings.find(each => each.stream === stream)
      if (beginning === undefined)
        throw new LockstepError('internal', `The stream ${stream} was not looked at.`)
      return (await readFeed(api, stream, beginning.epoch, beginning.head)).changes
    },
    isDeclared: feature => outline.declared.has(feature),
  }
}

/** The streams of an outline, each once. */
export function streamsOf({ collections }: Outline): string[] {
  return [...new Set(collections.map(({ template }) => streamOf(template)))]
}
