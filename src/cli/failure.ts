/**
 * How a command ends: 0 where all went well, 1 where it failed, 2 where it was called wrongly.
 *
 * A user's mistake gives one sentence and never a stack trace; LOCKSTEP_DEBUG=1 adds the stack to any failure.
 */
import { CommanderError } from 'commander'
import { isLockstepError, type LockstepError } from 'lockstep/contract'
import { paintError, printable, printNotice } from './terminal.ts'

export const exitCodes = { ok: 0, failure: 1, usage: 2 } as const

/** Says what failed and returns the exit code for it. */
export function reportFailure(error: unknown): number {
  // Commander has printed its own message, or the help or version that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
  printNotice(`${paintError('red', 'lockstep:')} ${explain(error)}`)
  return exitCodes.failure
}

/** One line about something that failed in the background. */
export function reportInBackground(error: unknown, { stage }: { readonly stage: string }): void {
  const isPlain = error instanceof Error && !isLockstepError(error) && !isDebugging()
  const text = isPlain ? printable(error.message) : explain(error)
  printNotice(`${paintError('red', 'lockstep:')} ${printable(stage)}: ${text}`)
}

/** The error in words; with its stack and causes where LOCKSTEP_DEBUG is set. */
export function explain(error: unknown): string {
  if (isDebugging()) return describeFully(error)
  if (isLockstepError(error)) return withReason(error)
  const message = printable(error instanceof Error && error.message !== '' ? error.message : String(error))
  return isSystemError(error)
    ? `${message}.`
    : `${message} (This is unexpected: set LOCKSTEP_DEBUG=1 for the stack.)`
}

/** A client is not told why the change log failed; this is where it is told. */
function withReason({ code, message, cause }: LockstepError): string {
  if (code !== 'log-failed' || !(cause instanceof Error) || message.includes(cause.message)) return message
  return `The change log failed, and nothing was changed: ${printable(cause.message)}.`
}

function isDebugging(): boolean {
  return !['', '0', undefined].includes(process.env['LOCKSTEP_DEBUG'])
}

/** Files and sockets: the operating system's message names the path or address already. */
function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error
}

function describeFully(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : `\ncaused by: ${describeFully(error.cause)}`
  return `${error.stack ?? error.message}${cause}`
}
