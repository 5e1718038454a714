/** What goes wrong with the file of a replica: whether it is damaged, out of reach, or something else. */
import { isLockstepError, LockstepError, quote } from '../contract/index.ts'

/** SQLite's primary result codes: https://sqlite.org/rescode.html. */
const codes = {
  error: 1,
  permission: 3,
  busy: 5,
  readOnly: 8,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  notADatabase: 26,
}

/** Is the file itself broken, and not only out of reach? A state in it that is no JSON is none that was written. */
export function isDamage(error: unknown): boolean {
  const { cause, message } = (error ?? {}) as { cause?: unknown; message?: unknown }
  if (error instanceof SyntaxError || cause instanceof SyntaxError) return true
  // A number that JavaScript cannot hold is none that was written.
  const isOutOfRange = [error, cause].some(
    each => (each as { code?: unknown } | undefined)?.code === 'ERR_OUT_OF_RANGE',
  )
  if (isOutOfRange) return true
  const code = resultCode(error)
  return code === codes.corrupt || (code === codes.error && /malformed JSON/.test(String(message)))
}

/** Stands for what SQLite has found by looking. */
export function damageOf(fault: string): Error {
  return Object.assign(new Error(fault), { errcode: codes.corrupt })
}

/** Is there something that no SQLite database begins with? */
export function isNoDatabase(error: unknown): boolean {
  return resultCode(error) === codes.notADatabase
}

/** Can it be read at most, as it is now? */
export function isUnwritable(error: unknown): boolean {
  return [codes.permission, codes.readOnly, codes.full, codes.cannotOpen].includes(resultCode(error) ?? 0)
}

export function isBusy(error: unknown): boolean {
  return resultCode(error) === codes.busy
}

export function asReplicaFailure(
  error: unknown,
  file: string,
  verb: 'opened' | 'read' | 'written',
): LockstepError {
  if (isLockstepError(error)) return error
  const advice = isDamage(error)
    ? 'It is damaged: everything is fetched anew. Read again when the follower is live.'
    : 'Check the path, its permissions and the space on the disk.'
  return new LockstepError(
    'replica-failed',
    `The replica ${quote(file, 200)} cannot be ${verb}: ${reasonOf(error)}. ${advice}`,
    { cause: error },
  )
}

export function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\.$/, '')
}

function resultCode(error: unknown): number | undefined {
  const { errcode, cause } = (error ?? {}) as { errcode?: unknown; cause?: { errcode?: unknown } }
  const code = errcode ?? cause?.errcode
  return typeof code === 'number' ? code & 0xff : undefined
}
