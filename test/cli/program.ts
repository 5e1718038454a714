/** The program `lockstep` as a child process of a test, in a folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'

export interface Program {
  readonly process: ChildProcess
  /** What was printed so far. */
  readonly stdout: string
  readonly stderr: string
  /** Resolves with the first match in all that was or will be printed; rejects where the program ends before. */
  printed(pattern: RegExp): Promise<RegExpExecArray>
  /** As `printed`, but only in what was printed after the last match of this kind. */
  printedNext(pattern: RegExp): Promise<RegExpExecArray>
  /** The exit code. */
  readonly ended: Promise<number | null>
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

export interface ProgramOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

const bin = fileURLToPath(new URL('../../src/cli/bin.ts', import.meta.url))

/** Starts it; it is ended with the test. */
export function startProgram(t: TestContext, args: readonly string[], options: ProgramOptions = {}): Program {
  const { LOCKSTEP_BROKER: _broker, LOCKSTEP_DEBUG: _debug, ...environment } = process.env
  const child = spawn(process.execPath, [bin, ...args], {
    cwd: options.cwd,
    env: { ...environment, NO_COLOR: '1', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { all: '', out: '', err: '' }
  const listeners = new Set<() => void>()
  const hear = (name: 'out' | 'err') => (text: string) => {
    output[name] += text
    output.all += text
    for (const listener of listeners) listener()
  }
  child.stdout.setEncoding('utf8').on('data', hear('out'))
  child.stderr.setEncoding('utf8').on('data', hear('err'))
  // `close` comes when both outputs were read to their end.
  const ended = once(child, 'close').then(([code]) => code as number | null)
  const stop = async (signal: NodeJS.Signals = 'SIGINT'): Promise<number | null> => {
    child.kill(signal)
    return await ended
  }
  t.after(() => stop('SIGKILL'))

  let read = 0
  async function find(pattern: RegExp, from: () => number): Promise<RegExpExecArray> {
    let isOver = false
    void ended.then(() => {
      isOver = true
      for (const listener of listeners) listener()
    })
    for (;;) {
      const match = pattern.exec(output.all.slice(from()))
      if (match !== null) {
        read = Math.max(read, from() + match.index + match[0].length)
        return match
      }
      if (isOver) throw new Error(`lockstep ${args.join(' ')} never printed ${pattern}:\n${output.all}`)
      await new Promise<void>(resolve => {
        const listener = (): void => {
          listeners.delete(listener)
          resolve()
        }
        listeners.add(listener)
      })
    }
  }

  return {
    process: child,
    get stdout() {
      return output.out
    },
    get stderr() {
      return output.err
    },
    printed: pattern => find(pattern, () => 0),
    printedNext(pattern) {
      const begin = read
      return find(pattern, () => begin)
    },
    ended,
    stop,
  }
}

/** Runs it to its end. */
export async function runProgram(
  t: TestContext,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const program = startProgram(t, args, options)
  const code = await program.ended
  return { code, stdout: program.stdout, stderr: program.stderr }
}

/** A folder for the test, with files in it. */
export async function temporaryFolder(
  t: TestContext,
  files: Readonly<Record<string, string>> = {},
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-cli-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
  return folder
}
