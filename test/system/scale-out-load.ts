/**
 * Writes to a service through a balancer, with every outcome written down. Each write has a cause and a value of its own, so that
 * whatever is in the log or in a copy is traced to one write.
 *
 * Three of four have an idempotency key, and are sent again under it, to whichever instance comes next, until they are answered.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Random } from '../support/random.ts'

/** What its writer knows of a write in the end. */
export interface Outcome {
  readonly cause: string
  readonly path: string
  /** `unknown`: it was not answered, or with an error behind which it may have been made. */
  readonly result: 'acknowledged' | 'refused' | 'unknown'
  /** The acknowledged version; `undefined` for a deletion. */
  readonly version: number | undefined
}

export interface Load {
  readonly outcomes: readonly Outcome[]
  /** Requests that got no answer, or one that settles nothing, so far. */
  readonly unanswered: number
  /** Resolves after so many further requests, whatever became of them. */
  asked(count: number): Promise<void>
  /** Resolves after so many further acknowledged writes. */
  acknowledged(count: number): Promise<void>
  /** Resolves when no write is on its way any more, and none follows. */
  pause(): Promise<void>
  resume(): void
}

const ids = 40
/** Between two requests of a writer: what starts again needs the processor too. */
const paceMs = 10

/** Starts to write to the people at a URL, with so many writes at once. */
export function startLoad(url: string, writers: number, random: Random): Load {
  const outcomes: Outcome[] = []
  const counts = { asked: 0, acknowledged: 0, unanswered: 0 }
  let waiting: { readonly count: 'asked' | 'acknowledged'; readonly goal: number; resolve(): void }[] = []
  let isPaused = false
  let running: Promise<unknown> = Promise.resolve()
  let number = 0

  const count = (what: 'asked' | 'acknowledged'): void => {
    counts[what]++
    for (const each of waiting) if (counts[each.count] >= each.goal) each.resolve()
    waiting = waiting.filter(each => counts[each.count] < each.goal)
  }
  const wait = (what: 'asked' | 'acknowledged', more: number): Promise<void> =>
    new Promise(resolve => {
      waiting.push({ count: what, goal: counts[what] + more, resolve })
    })

  const write = async (): Promise<void> => {
    const cause = `write-${number++}`
    const path = `/people/p${random.below(ids)}`
    const { url: target, ...request } = chooseWrite(path, cause, random.below(10))
    const hasKey = random.below(4) > 0
    const headers: Record<string, string> = { 'content-type': 'application/json', 'x-request-id': cause }
    if (hasKey) headers['idempotency-key'] = cause
    for (;;) {
      const { result, version } = await ask(`${url}${target}`, { ...request, headers })
      count('asked')
      if (result === 'unknown') counts.unanswered++
      if (result === 'unknown' && hasKey) {
        await delay(paceMs)
        continue
      }
      outcomes.push({ cause, path, result, version })
      if (result === 'acknowledged') count('acknowledged')
      return
    }
  }
  const work = async (): Promise<void> => {
    while (!isPaused) {
      await write()
      await delay(paceMs)
    }
  }
  const resume = (): void => {
    isPaused = false
    running = Promise.all(Array.from({ length: writers }, work))
  }
  resume()
  return {
    outcomes,
    get unanswered() {
      return counts.unanswered
    },
    asked: more => wait('asked', more),
    acknowledged: more => wait('acknowledged', more),
    async pause() {
      isPaused = true
      await running
    },
    resume,
  }
}

interface Answer {
  readonly result: Outcome['result']
  readonly version: number | undefined
}

async function ask(url: string, request: RequestInit): Promise<Answer> {
  const unknown: Answer = { result: 'unknown', version: undefined }
  try {
    const response = await fetch(url, { ...request, signal: AbortSignal.timeout(30_000) })
    const text = await response.text()
    if (response.ok) {
      const tag = response.headers.get('etag')
      const version = tag === null ? undefined : Number(tag.slice(tag.indexOf('.') + 1, -1))
      return { result: 'acknowledged', version }
    }
    // The first of several with one key may still be on its way.
    if (response.status >= 500 || text.includes('idempotency-key-in-use')) return unknown
    return { result: 'refused', version: undefined }
  } catch {
    return unknown
  }
}

function chooseWrite(path: string, name: string, dice: number): RequestInit & { readonly url: string } {
  const id = path.slice(path.lastIndexOf('/') + 1)
  const body = JSON.stringify({ name })
  if (dice < 2) return { method: 'POST', url: '/people', body: JSON.stringify({ id, name }) }
  if (dice < 5) return { method: 'PUT', url: path, body }
  if (dice < 6) return { method: 'DELETE', url: path }
  return { method: 'PATCH', url: path, body }
}
