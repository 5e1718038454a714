/** What a bulk answers: one result for each operation, in their order, and a marker. PROTOCOL.md §4.15. */
import { formatMarker, LockstepError, type Marker, type Problem } from '../../contract/index.ts'
import type { Done } from '../receipt.ts'
import { type Route, setMarker } from './context.ts'
import { jsonType, type Reply } from './exchange.ts'
import { type Answer, tagOf } from './operation.ts'

/** What an operation with its own transaction gave: an answer, or why there is none. */
export type Result = Done<Answer> | { readonly path: string | undefined; readonly problem: Problem }

/** Counts what the results hold: a small patch may answer with a large state. */
export interface ResultSize {
  add(answer: Answer): Answer
  /** Errors: `too-many-changes`. */
  check(): void
}

export function createResultSize(maxResultChars: number): ResultSize {
  let chars = 0
  return {
    add(answer) {
      chars += answer.stateText?.length ?? 0
      return answer
    },
    check() {
      if (chars < maxResultChars) return
      throw new LockstepError(
        'too-many-changes',
        `The results of a bulk may have ${maxResultChars} characters. Send what is left in another one.`,
      )
    },
  }
}

/** Answers a bulk that was one transaction. */
export function replyWithAll(route: Route, { value: answers, marker, replayed }: Done<Answer[]>): Reply {
  const results = answers.map(answer => formatAnswer(answer, marker))
  return replyWith(route, marker, results, replayed)
}

/** Answers a bulk of many transactions. Its marker has all of their changes behind it; `before` is where the stream stood. */
export function replyWithEach(route: Route, before: Marker, results: readonly Result[]): Reply {
  let last = before[0]!
  for (const result of results) {
    if ('problem' in result) continue
    const [own] = result.marker
    const isLater = own!.epoch === last.epoch ? own!.seq > last.seq : !result.replayed
    if (isLater) last = own!
  }
  const replayed = results.every(result => 'value' in result && result.replayed)
  return replyWith(route, [last], results.map(formatResult), replayed)
}

function replyWith(route: Route, marker: Marker, results: readonly string[], replayed: boolean): Reply {
  const { headers } = route
  setMarker(route, marker)
  if (replayed) headers['idempotency-replayed'] = 'true'
  headers['content-type'] = jsonType
  // One result per line, and the stored texts as they are, as in a list.
  return { status: 200, headers, body: `{"results":[\n${results.join(',\n')}\n]}\n` }
}

function formatResult(result: Result): string {
  if ('problem' in result) {
    const { path, problem } = result
    return JSON.stringify({ status: problem.status, path, problem })
  }
  const { value, marker, replayed } = result
  return formatAnswer(value, marker, { marker: formatMarker(marker), replayed: replayed || undefined })
}

function formatAnswer(answer: Answer, marker: Marker, further: object = {}): string {
  const { status, path, stateText } = answer
  const fields = JSON.stringify({ status, path, etag: tagOf(answer, marker), ...further })
  return stateText === undefined ? fields : `${fields.slice(0, -1)},"body":${stateText}}`
}
