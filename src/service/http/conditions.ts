/** If-Match and If-None-Match of writes (RFC 9110 §13), checked inside the transaction that they are for. PROTOCOL.md §4.4. */
import {
  formatResourceTag,
  LockstepError,
  satisfiesIfMatch,
  satisfiesIfNoneMatch,
  showField,
} from '../../contract/index.ts'
import type { WriteContext } from '../mirror.ts'
import type { Resource } from '../resource.ts'

export interface Conditions {
  readonly ifMatch?: string
  readonly ifNoneMatch?: string
}

/** A collection's tag changes with each write in its stream, so nothing can be made to depend on it. Errors: `precondition-failed`. */
export function refuseConditions({ ifMatch = '*', ifNoneMatch }: Conditions): void {
  if (ifMatch.trim() === '*' && ifNoneMatch === undefined) return
  throw new LockstepError(
    'precondition-failed',
    'POST takes no conditions. To create only what is not there yet, PUT it with If-None-Match: *.',
  )
}

/**
 * The check to be made before a resource is written. Where the epoch is renewed meanwhile, resources and versions stay
 * as they are. Errors of the check: `precondition-failed`, `precondition-required`, `invalid-condition`.
 */
export function createCheck(
  { requirePreconditions }: Resource<object>,
  { ifMatch, ifNoneMatch }: Conditions,
  epoch: string,
): NonNullable<WriteContext['checkBefore']> {
  const isMissing = requirePreconditions && ifMatch === undefined && ifNoneMatch === undefined
  return (path, before) => {
    if (isMissing && before.stateText !== undefined) {
      throw new LockstepError(
        'precondition-required',
        `${path} is changed only with a condition. GET it, decide on what it says, and send its ETag as If-Match.`,
      )
    }
    const tag = before.stateText === undefined ? undefined : formatResourceTag(epoch, before.version)
    const now = tag === undefined ? 'does not exist' : `has the ETag ${tag}`
    const refuse = (field: string, condition: string): LockstepError =>
      new LockstepError(
        'precondition-failed',
        `${field}: ${showField(condition)} does not hold: ${path} ${now}. GET it and decide again.`,
      )
    if (ifMatch !== undefined && !satisfiesIfMatch(ifMatch, tag)) throw refuse('If-Match', ifMatch)
    if (ifNoneMatch !== undefined && !satisfiesIfNoneMatch(ifNoneMatch, tag, { anyVariant: true }))
      throw refuse('If-None-Match', ifNoneMatch)
  }
}
