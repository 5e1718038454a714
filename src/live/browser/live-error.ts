/** The error of the browser module: with the codes of every other part, and without their table. */
import type { ErrorCode } from '../../contract/index.ts'

/** Says what failed, with which value, and what to do next; docs/errors.md has the codes. */
export class LiveError extends Error {
  override readonly name = 'LockstepError'
  readonly code: ErrorCode
  constructor(code: ErrorCode, message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}
