/** What is wrong with the data folder of `lockstep serve`, and what to do about it: the file, the reason, the next step. */
import { join } from 'node:path'
import { isLockstepError, LockstepError } from 'lockstep/contract'
import { reasonOfSystem } from './system-failure.ts'

/** The database in a data folder. */
export const logFile = 'lockstep.db'

/** SQLite's result codes for content that is not as it should be. */
const damageCodes: readonly number[] = [11, 26]

/** The error in these words, where folder or database are at fault; else as it is. */
export function explainDataFailure(error: unknown, folder: string): unknown {
  const reason = reasonOfSystem(error)
  if (reason !== undefined) {
    return new LockstepError(
      'invalid-option',
      `The data folder ${folder} cannot be used: ${reason}. Choose another one with --data, or keep nothing with --memory.`,
      { cause: error },
    )
  }
  const cause = isLockstepError(error) ? error.cause : undefined
  if (!(cause instanceof Error) || !('errcode' in cause)) return error
  if (!damageCodes.includes(Number(cause.errcode) & 0xff)) return error
  return new LockstepError(
    'log-failed',
    `${join(folder, logFile)} is damaged: ${cause.message}. Restore the folder from a backup while no service runs, or begin afresh with --reset; --data chooses another folder.`,
    { cause },
  )
}
