/**
 * The public keys of an issuer (JWKS): from a file, or fetched from where the configuration says, never from where a token says.
 *
 * Fetching is bounded in size, time and rate: tokens with unknown keys cannot make the gateway ask more often. Keys that were fetched go on for
 * a while when the issuer is down.
 */
import { readFile, stat } from 'node:fs/promises'
import { createLocalJWKSet, type JSONWebKeySet, type JWK } from 'jose'
import {
  isJsonObject,
  type Json,
  LockstepError,
  parseJson,
  quote,
  type ReportError,
} from '../../contract/index.ts'

/** Finds the key of a token; jose's own form. */
export type FindKey = ReturnType<typeof createLocalJWKSet>

export interface KeySetOptions {
  /** `https://…`, or `http://` of this machine, or the path of a file. */
  readonly source: string
  /** The one algorithm of the issuer's tokens. */
  readonly algorithm: string
  readonly onError: ReportError
  readonly now: () => number
  /** @default fetch */
  readonly fetch?: typeof fetch
}

export interface KeySet {
  /** The keys; `kid` is the one looked for, which may be new. Errors: `api-unreachable` where there are none. */
  get(kid: string | undefined): Promise<FindKey>
}

const maxBytes = 262_144
const maxKeys = 100
const timeoutMs = 5_000
/** Keys are fetched again after so long, and not more often than that. */
const freshMs = 600_000
const leastGapMs = 30_000
/** Keys that cannot be fetched again are used for so long. */
const staleMs = 3_600_000
const fileLookMs = 1_000

const keyTypes: Readonly<Record<string, string>> = { RS: 'RSA', PS: 'RSA', ES: 'EC', Ed: 'OKP' }

interface Held {
  readonly find: FindKey
  readonly kids: ReadonlySet<string | undefined>
  readonly atMs: number
}

export function createKeySet(options: KeySetOptions): KeySet {
  const { source, algorithm, onError, now } = options
  const isRemote = /^https?:/.test(source)
  let held: Held | undefined
  let triedAtMs = Number.NEGATIVE_INFINITY
  let stamp = ''
  let running: Promise<void> | undefined
  const load = async (): Promise<void> => {
    try {
      if (!isRemote) {
        const { mtimeMs, size } = await stat(source)
        const seen = `${mtimeMs} ${size}`
        if (seen !== stamp || held === undefined) held = readSet(await readFile(source, 'utf8'), options)
        else held = { ...held, atMs: now() }
        stamp = seen
      } else held = readSet(await fetchText(source, options.fetch ?? fetch), options)
    } catch (error) {
      onError(error, { stage: 'jwks' })
    }
  }
  const refresh = (): Promise<void> => {
    running ??= load().finally(() => {
      running = undefined
    })
    return running
  }
  return {
    async get(kid) {
      const nowMs = now()
      const isOld = held === undefined || nowMs - held.atMs > (isRemote ? freshMs : fileLookMs)
      const isUnknown = held !== undefined && kid !== undefined && !held.kids.has(kid)
      const gapMs = isRemote ? leastGapMs : fileLookMs
      if ((isOld || isUnknown) && nowMs - triedAtMs >= gapMs) {
        triedAtMs = nowMs
        await refresh()
      } else if (held === undefined && running !== undefined) await running
      if (held !== undefined && now() - held.atMs <= staleMs) return held.find
      throw new LockstepError(
        'api-unreachable',
        `The keys for ${algorithm} tokens cannot be had from ${quote(source, 200)}.`,
      )
    },
  }
}

/** Keeps the public keys for the algorithm; whatever else is in the set counts for nothing. */
function readSet(text: string, { source, algorithm, now }: KeySetOptions): Held {
  const value: Json = parseJson(text)
  const list = isJsonObject(value) ? value['keys'] : undefined
  if (!Array.isArray(list) || list.length > maxKeys)
    throw new LockstepError('api-refused', `${quote(source, 200)} is no set of at most ${maxKeys} keys.`)
  const keys = list
    .filter(key => isUsable(key, algorithm))
    .map(key => publicPartOf(key as unknown as JWK, algorithm))
  const set: JSONWebKeySet = { keys }
  return { find: createLocalJWKSet(set), kids: new Set(keys.map(({ kid }) => kid)), atMs: now() }
}

function isUsable(key: Json, algorithm: string): boolean {
  if (!isJsonObject(key)) return false
  const { kty, alg = algorithm, use = 'sig', key_ops: operations = ['verify'] } = key
  const isToVerify = Array.isArray(operations) && operations.includes('verify')
  return kty === keyTypes[algorithm.slice(0, 2)] && alg === algorithm && use === 'sig' && isToVerify
}

function publicPartOf(key: JWK, alg: string): JWK {
  const { kty, kid, n, e, crv, x, y } = key
  const part = { kty, kid, n, e, crv, x, y, alg, use: 'sig' }
  return Object.fromEntries(
    Object.entries(part).filter(([, member]) => member !== undefined),
  ) as unknown as JWK
}

async function fetchText(url: string, ask: typeof fetch): Promise<string> {
  const response = await ask(url, {
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutMs),
    headers: { accept: 'application/json, application/jwk-set+json' },
  })
  if (response.status !== 200) {
    await response.body?.cancel()
    throw new LockstepError('api-refused', `GET ${quote(url, 200)} was answered with ${response.status}.`)
  }
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    if (bytes > maxBytes)
      throw new LockstepError(
        'api-refused',
        `GET ${quote(url, 200)} was answered with over ${maxBytes} bytes.`,
      )
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}
