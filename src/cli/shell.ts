/** Runs a command line that the user gave, in the shell, and waits for its end. */
import { spawn } from 'node:child_process'
import { LockstepError, quote } from 'lockstep/contract'

const limitMs = 120_000

/** What it prints goes to standard error. Errors: `invalid-option` where it fails or does not come back within two minutes. */
export async function runShell(command: string): Promise<void> {
  const child = spawn(command, { shell: true, stdio: ['ignore', 2, 2] })
  const timer = setTimeout(() => child.kill('SIGKILL'), limitMs)
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  child.on('error', reject)
  child.on('exit', (code, signal) => resolve(signal ?? String(code)))
  const end = await promise.finally(() => clearTimeout(timer))
  if (end === '0') return
  throw new LockstepError(
    'invalid-option',
    `The command ${quote(command, 80)} ended with ${end}. It must come back with 0 when the service was started.`,
  )
}
