/**
 * One HTTP request and its answer, as the handlers see them: small and free of any server's classes.
 *
 * Handlers take an Exchange and give a Reply; `fetch.ts` and `node.ts` fit them to the Fetch API and to
 * `node:http`. (Building a Request and a Response per call costs more than the write itself.)
 */
import { errorCodes, LockstepError, type Problem, toProblem } from '../../contract/index.ts'

export interface Exchange {
  readonly method: string
  /** The raw path of the URL, percent-encoding untouched, without query. */
  readonly path: string
  /** The raw query without `?`; `''` where there is none. */
  readonly query: string
  /** A request header by its lower-case name; several fields are joined by commas. */
  header(name: string): string | undefined
  /** Reads the body as text. Errors: `body-too-large`, `request-timeout`, `invalid-json` where it is not UTF-8. */
  readBody(maxBytes: number): Promise<string>
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal
}

export interface Reply {
  readonly status: number
  readonly headers: Record<string, string>
  /** The whole body, or its parts as they come, to be iterated until its end or left by `return()`. A HEAD request gets the headers only. */
  readonly body?: string | AsyncIterable<string>
  /** Aborted when the body is given up while its reader takes nothing: the connection is to be cut. */
  readonly cut?: AbortSignal
}

/** What an adapter needs of a service. */
export interface HttpHandler {
  handle(exchange: Exchange): Promise<Reply>
  /** Is the raw path below the service's root? */
  owns(path: string): boolean
}

export const jsonType = 'application/json; charset=utf-8'

/** The answer to an error: a problem document (RFC 9457). Unknown errors are shown as `internal` and told to `onError`. */
export function replyToError(
  error: unknown,
  headers: Record<string, string>,
  onError: (error: unknown) => void,
): Reply {
  const problem: Problem = toProblem(error)
  // Any client can say a position that is ahead.
  if (problem.status >= 500 && problem.code !== 'position-ahead') onError(error)
  headers['content-type'] = 'application/problem+json; charset=utf-8'
  headers['cache-control'] = 'no-store'
  const isSoon = problem.status === 503 || problem.status === 409
  if (isSoon && errorCodes[problem.code].retry) headers['retry-after'] = '1'
  return {
    status: problem.status,
    headers,
    body: `${JSON.stringify(problem)}\n`,
  }
}

/** Reads the query's parameters, each at most once and only those that are known. Errors: `invalid-query`. */
export function readQuery<Name extends string>(
  query: string,
  known: readonly Name[],
): { readonly [N in Name]?: string } {
  const values: { [N in Name]?: string } = {}
  if (query === '') return values
  for (const [name, value] of new URLSearchParams(query)) {
    if (isMeaningless(name)) continue
    const match = known.find(other => other === name)
    if (match === undefined) {
      throw new LockstepError(
        'invalid-query',
        `There is no query parameter ${JSON.stringify(name.slice(0, 80))} here. Known: ${known.join(', ') || 'none'}.`,
      )
    }
    if (values[match] !== undefined)
      throw new LockstepError('invalid-query', `The query parameter "${name}" is given twice.`)
    values[match] = value
  }
  return values
}

/** What json-server calls by a name with an underscore: to ignore it would give a list that is not the one asked for. */
const otherNames = new Map([
  ['_sort', 'sort=name, or sort=-name for the greatest first'],
  ['_order', 'sort=-name for the greatest first'],
  ['_limit', 'limit=10'],
  ['_per_page', 'limit=10'],
  ['_page', 'the Link header of each page, whose rel="next" leads to the next one'],
  ['_start', 'after=id, the id to go on after'],
  ['_end', 'limit=10'],
  ['_embed', 'embed=name, of a reference that is declared'],
  ['_expand', 'embed=name, of a reference that is declared'],
])

/**
 * A leading underscore is how caches are told apart (`?_=1700000000`); it carries no meaning here. PROTOCOL.md §4.12.
 * Errors: `invalid-query` for a name that has one elsewhere.
 */
export function isMeaningless(name: string): boolean {
  if (!name.startsWith('_') || name.includes(':')) return false
  const here = otherNames.get(name)
  if (here === undefined) return true
  throw new LockstepError(
    'invalid-query',
    `There is no query parameter "${name}" here, as json-server has it. Use ${here}.`,
  )
}

/** Reads a whole number within limits. Errors: `invalid-query`. */
export function readCount(
  name: string,
  text: string | undefined,
  { fallback, max }: { fallback: number; max: number },
): number {
  if (text === undefined) return fallback
  const count = Number(text)
  if (!/^\d{1,9}$/.test(text) || count < 1 || count > max) {
    throw new LockstepError(
      'invalid-query',
      `${name}=${text.slice(0, 40)} cannot be used: give a whole number from 1 to ${max}.`,
    )
  }
  return count
}

/** Reads a `true` or `false`. Errors: `invalid-query`. */
export function readFlag(name: string, text: string | undefined): boolean {
  if (text === undefined || text === 'false') return false
  if (text === 'true' || text === '') return true
  throw new LockstepError('invalid-query', `${name}=${text.slice(0, 40)} cannot be used: give true or false.`)
}
