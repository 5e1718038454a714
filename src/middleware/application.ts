/**
 * How the mirror looks at what the application has: by functions that read it, or by asking the application itself, in the same process,
 * as any client would.
 */
import { type Json, LockstepError, quote } from '../contract/index.ts'
import type { FetchHandler } from '../service/index.ts'
import { type ApiAnswer, type TargetTable, valuesOf } from '../sidecar/observing.ts'

/** Gives one resource as a GET gives it; `undefined` or `null` where there is none. `parents` are the ids that it is nested below. */
export type ReadOne = (id: string, ...parents: string[]) => unknown
/** Gives all resources of a collection, in any order. */
export type ReadAll = (
  ...parents: string[]
) => Iterable<unknown> | AsyncIterable<unknown> | Promise<Iterable<unknown> | AsyncIterable<unknown>>

export interface Reading {
  readonly read: ReadOne | undefined
  readonly readAll: ReadAll | undefined
}

export interface ApplicationOptions {
  readonly table: TargetTable
  /** By the template of the resource. */
  readonly readings: ReadonlyMap<string, Reading>
  readonly fetch: FetchHandler | undefined
  /** Sent when the application is asked. */
  readonly headers: Readonly<Record<string, string>>
  readonly timeoutMs: number
  readonly maxBytes: number
  readonly maxItems: number
}

/** Marks the mirror's own requests, so that it does not meet them. */
export const lookHeader = 'lockstep-look'

const none: ApiAnswer = { status: 404, header: () => undefined, body: Buffer.alloc(0) }

export class Application {
  readonly #options: ApplicationOptions

  constructor(options: ApplicationOptions) {
    this.#options = options
  }

  /** Errors: `timeout`, `body-too-large`, `list-too-large`, and what the application throws. */
  async get(target: string, headers: Readonly<Record<string, string>> = {}): Promise<ApiAnswer> {
    const { table, readings, fetch, timeoutMs } = this.#options
    const found = table.find(target.replace(/\?.*$/s, ''))
    const reading = found && readings.get(found.mirrored.template)
    if (found !== undefined && reading !== undefined) {
      const values = valuesOf(found.mirrored, found.path)
      const parents = found.mirrored.parents.map(name => values[name]!)
      const { read, readAll } = reading
      if (found.kind === 'resource' && read !== undefined) {
        const state = await within(timeoutMs, target, read(values['id']!, ...parents))
        return state === undefined || state === null ? none : answer(state as Json)
      }
      if (found.kind === 'collection' && readAll !== undefined)
        return answer(await within(timeoutMs, target, this.#collect(readAll(...parents), target)))
    }
    // Without a list each resource that was seen is looked at.
    if (fetch === undefined) return none
    return await within(timeoutMs, target, this.#ask(fetch, target, headers))
  }

  async #collect(given: ReturnType<ReadAll>, target: string): Promise<Json> {
    const items: unknown[] = []
    const { maxItems } = this.#options
    for await (const item of await given) {
      items.push(item)
      if (items.length > maxItems) {
        throw new LockstepError(
          'list-too-large',
          `What readAll gives for ${quote(target)} is over ${maxItems} items. Raise maxItems.`,
        )
      }
    }
    return items as Json
  }

  async #ask(
    fetch: FetchHandler,
    target: string,
    headers: Readonly<Record<string, string>>,
  ): Promise<ApiAnswer> {
    const { maxBytes } = this.#options
    const all = { accept: 'application/json', [lookHeader]: '1', ...this.#options.headers, ...headers }
    const response = await fetch(new Request(`http://localhost${target}`, { headers: all }))
    const parts: Uint8Array[] = []
    let bytes = 0
    for await (const part of response.body ?? []) {
      bytes += part.length
      if (bytes > maxBytes) {
        throw new LockstepError(
          'body-too-large',
          `The application's answer to ${quote(target)} is over ${maxBytes} bytes. Raise maxAnswerBytes.`,
        )
      }
      parts.push(part)
    }
    const header = (name: string): string | undefined => response.headers.get(name) ?? undefined
    return { status: response.status, header, body: Buffer.concat(parts) }
  }
}

function answer(value: Json): ApiAnswer {
  return { status: 200, header: () => undefined, body: Buffer.from(JSON.stringify(value)) }
}

async function within<T>(timeoutMs: number, target: string, work: T): Promise<Awaited<T>> {
  if (!(work instanceof Promise)) return await work
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(
        new LockstepError(
          'timeout',
          `Reading ${quote(target)} from the application took over ${timeoutMs} ms. It is tried again.`,
        ),
      )
    }, timeoutMs)
  })
  try {
    return await Promise.race([work as Promise<Awaited<T>>, late])
  } finally {
    clearTimeout(timer)
  }
}
