/**
 * Answers of other services, kept by their URL and asked for again with their ETag: what has not changed does not travel.
 *
 * Nothing is given without asking, so that an answer is never older than the question. The oldest go when there are too many.
 */
import { type Marker, parseMarker } from '../contract/index.ts'

/** What another service answered, with 200, 304 or any other status. */
export interface RemoteAnswer {
  /** 200 also where a 304 said that what was kept is still so. */
  readonly status: number
  readonly text: string
  /** `undefined` where the service says none: it mirrors nothing. */
  readonly marker: Marker | undefined
  /** Does the list go on on another page? */
  readonly more: boolean
}

export interface RemoteRequest {
  readonly url: string
  /** All that chooses the representation, and says who asks. */
  readonly headers: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

export interface RemoteCacheOptions {
  /** @default 1_000 */
  readonly maxAnswers?: number
  /** Of all that is kept. @default 16_777_216 */
  readonly maxChars?: number
}

interface Kept {
  readonly etag: string
  readonly answer: RemoteAnswer
}

/** The largest answer that is read, in bytes. */
const maxAnswerBytes = 8_388_608

export class RemoteCache {
  readonly #kept = new Map<string, Kept>()
  readonly #maxAnswers: number
  readonly #maxChars: number
  #chars = 0

  constructor({ maxAnswers = 1_000, maxChars = 16_777_216 }: RemoteCacheOptions = {}) {
    this.#maxAnswers = maxAnswers
    this.#maxChars = maxChars
  }

  /** Asks, and gives the answer of whatever status. Rejects where none comes. */
  async get({ url, headers, signal }: RemoteRequest): Promise<RemoteAnswer> {
    const key = keyOf({ url, headers })
    const kept = this.#kept.get(key)
    const condition: Record<string, string> = kept === undefined ? {} : { 'if-none-match': kept.etag }
    const response = await fetch(url, { headers: { ...headers, ...condition }, signal, redirect: 'error' })
    const marker = readMarker(response)
    if (response.status === 304 && kept !== undefined) {
      await response.body?.cancel()
      const answer = { ...kept.answer, marker: marker ?? kept.answer.marker }
      this.#keep(key, { etag: kept.etag, answer })
      return answer
    }
    const text = await readText(response)
    const more = /\brel="?next\b/.test(response.headers.get('link') ?? '')
    const answer = { status: response.status, text, marker, more }
    const etag = response.headers.get('etag')
    if (response.status === 200 && etag !== null) this.#keep(key, { etag, answer })
    else this.#drop(key)
    return answer
  }

  #keep(key: string, kept: Kept): void {
    this.#drop(key)
    this.#kept.set(key, kept)
    this.#chars += kept.answer.text.length
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= this.#maxAnswers && this.#chars <= this.#maxChars) return
      this.#drop(oldest)
    }
  }

  #drop(key: string): void {
    this.#chars -= this.#kept.get(key)?.answer.text.length ?? 0
    this.#kept.delete(key)
  }
}

/** What is answered to one who asks is for nobody else. */
export function keyOf({ url, headers }: Pick<RemoteRequest, 'url' | 'headers'>): string {
  return JSON.stringify([url, headers])
}

function readMarker({ headers }: Response): Marker | undefined {
  const text = headers.get('lockstep-marker')
  return text === null ? undefined : parseMarker(text)
}

async function readText({ body }: Response): Promise<string> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of body ?? []) {
    bytes += part.byteLength
    if (bytes > maxAnswerBytes) throw new Error(`the answer has over ${maxAnswerBytes} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts).toString()
}
