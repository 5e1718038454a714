/**
 * Receipts: a write that comes with a key is done once, and a retry of it is given what it gave.
 *
 * The receipt is left in the transaction of the write, so that neither is ever there without the other, whatever
 * crashes and whichever process the retry reaches. A write that is refused leaves none. Knows nothing of HTTP.
 * PROTOCOL.md §4.13.
 */
import { createHash } from 'node:crypto'
import { LockstepError, quote } from '../contract/index.ts'
import type { ChangeLog, LogTransaction, Written } from '../log/change-log.ts'
import { refuseNesting, runInside } from './nesting.ts'

/** What a write with a key is known by. */
export interface Claim {
  /** The client's key together with all that it is valid for, as a hash. */
  readonly key: string
  /** A hash of what is asked for; another one under the same key is refused. */
  readonly fingerprint: string
  /** The client's key as it was sent, for messages. */
  readonly sentKey: string
}

/** What a write gave, now or the first time: then `marker` is the one of that time. */
export interface Done<T> extends Written<T> {
  readonly replayed: boolean
}

/**
 * Runs `work` in a transaction of the log, unless a receipt says what it gave before. Its value is kept as JSON under
 * the last of the claims; those before it only make sure that their keys are used for nothing else. Without
 * claims it is a plain write. Errors: `idempotency-key-reused`, `invalid-option` inside of another unit of work on
 * this log, those of the log and of the work.
 */
export async function writeOnce<T>(
  log: ChangeLog,
  claims: readonly Claim[],
  now: () => number,
  work: (tx: LogTransaction) => Promise<T>,
): Promise<Done<T>> {
  refuseNesting(log)
  const { value: done, marker } = await log.write(async (tx): Promise<Omit<Done<T>, 'marker'>> => {
    const kept = await readKept<T>(tx, claims)
    if (kept !== undefined) return kept
    const value = await runInside(log, () => work(tx))
    for (const [index, { key, fingerprint }] of claims.entries()) {
      const receipt = index === claims.length - 1 ? { fingerprint, value } : { fingerprint }
      await tx.writeReceipt(key, JSON.stringify(receipt), now())
    }
    return { value, replayed: false }
  })
  return { marker, ...done }
}

/** What is kept under the last claim. Errors: `idempotency-key-reused` where any of them was made for something else. */
async function readKept<T>(tx: LogTransaction, claims: readonly Claim[]): Promise<Done<T> | undefined> {
  let last: Done<T> | undefined
  for (const claim of claims) {
    const receipt = await tx.readReceipt(claim.key)
    last = receipt && { ...readValue<T>(receipt.text, claim), marker: receipt.marker, replayed: true }
  }
  return last
}

function readValue<T>(receiptText: string, { fingerprint, sentKey }: Claim): { readonly value: T } {
  const kept = JSON.parse(receiptText) as { readonly fingerprint: string; readonly value: T }
  if (kept.fingerprint === fingerprint) return { value: kept.value }
  throw new LockstepError(
    'idempotency-key-reused',
    `The idempotency key ${quote(sentKey)} was used for another request. Take a new key for each request; send the same one only to repeat the same request.`,
  )
}

/** Is it 1 to 255 visible ASCII characters? */
export function isIdempotencyKey(text: string): boolean {
  return /^[\x21-\x7e]{1,255}$/.test(text)
}

export function invalidIdempotencyKey(text: string): LockstepError {
  return new LockstepError(
    'invalid-idempotency-key',
    `The idempotency key ${quote(text)} cannot be used: give 1 to 255 visible ASCII characters, such as a random UUID.`,
  )
}

/** A hash of several texts, some of which may be missing. */
export function hashParts(parts: readonly (string | undefined)[]): string {
  const hash = createHash('sha256')
  // With its length before it, no text can be taken for the end of another one.
  for (const part of parts) hash.update(part === undefined ? '-' : `${part.length}:`).update(part ?? '')
  return hash.digest('base64url')
}
