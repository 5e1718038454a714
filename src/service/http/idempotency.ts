/** The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): what its keys are valid for. PROTOCOL.md §4.13. */
import { LockstepError, quote } from '../../contract/index.ts'
import { type Claim, hashParts, invalidIdempotencyKey, isIdempotencyKey } from '../receipt.ts'
import type { HandlerContext, Route } from './context.ts'

/** A string of a structured field (RFC 9651 §3.3.3). */
const quotedText = /^"((?:[^"\\]|\\["\\])*)"$/

/** A request's key together with method, path and caller, as a hash; and as it was sent. */
export type Scope = Pick<Claim, 'key' | 'sentKey'>

/** `undefined` where the request brings no key. Errors: `invalid-idempotency-key`. */
export function readScope({ context, exchange }: Route, path: string): Scope | undefined {
  const field = exchange.header('idempotency-key')?.trim()
  if (field === undefined) return undefined
  const key = field.startsWith('"') ? quotedText.exec(field)?.[1]?.replaceAll(/\\(.)/g, '$1') : field
  if (key === undefined || !isIdempotencyKey(key)) throw invalidIdempotencyKey(field)
  return { key: hashParts([key, exchange.method, path, context.principal?.(exchange)]), sentKey: key }
}

/** Runs it, unless something with the same key is running in this process. Errors: `idempotency-key-in-use`. */
export async function runAlone<T>(
  { runningScopes }: HandlerContext,
  scope: Scope | undefined,
  run: () => Promise<T>,
): Promise<T> {
  if (scope === undefined) return await run()
  if (runningScopes.has(scope.key)) {
    throw new LockstepError(
      'idempotency-key-in-use',
      `A request with the idempotency key ${quote(scope.sentKey)} has not been answered yet. Try again shortly.`,
    )
  }
  runningScopes.add(scope.key)
  try {
    return await run()
  } finally {
    runningScopes.delete(scope.key)
  }
}
