/**
 * Starts a process that is measured, or that measures, on a core of its own, and calls it over its channel.
 *
 * The server under test has core 0, whatever makes its load core 1: otherwise the scheduler decides who wins. The
 * other end of the channel is program.ts.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import type { CpuTime } from './program.ts'

export const serverCore = 0
export const loadCore = 1

/** Can processes be kept on a core here? */
export const canPin: boolean =
  availableParallelism() > 1 && spawnSync('taskset', ['-c', '1', 'true'], { stdio: 'ignore' }).status === 0

export interface MeasuredProcess<Ready> extends AsyncDisposable {
  readonly ready: Ready
  /** Runs a command of the program. Errors: what it failed with, or that it ended. */
  call<T>(name: string, argument?: unknown): Promise<T>
  /** Processor time used so far. */
  cpu(): Promise<CpuTime>
  /** Closes the program and ends the process. Idempotent. */
  stop(): Promise<void>
}

const closeTimeoutMs = 5_000

/** The command line that runs a program on a core. */
export function pinned(core: number, command: readonly string[]): readonly [string, ...string[]] {
  return (canPin ? ['taskset', '-c', String(core), ...command] : [...command]) as [string, ...string[]]
}

/** Starts a program of the benchmark and resolves when it is ready. */
export async function startProcess<Ready>(
  program: URL,
  options: object,
  { core, nodeOptions = [] }: { core: number; nodeOptions?: readonly string[] },
): Promise<MeasuredProcess<Ready>> {
  const flags = ['--disable-warning=ExperimentalWarning', ...nodeOptions]
  const [command, ...args] = pinned(core, [process.execPath, ...flags, program.pathname])
  const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] })
  const channel = createChannel(child, program.pathname.replace(/^.*\//, ''))
  child.send(options)
  const ready = (await channel.ready) as Ready
  let stopping: Promise<void> | undefined
  const stop = (): Promise<void> => {
    stopping ??= end(child, channel.call('close'))
    return stopping
  }
  return {
    ready,
    call: <T>(name: string, argument?: unknown) => channel.call(name, argument) as Promise<T>,
    cpu: () => channel.call('cpu') as Promise<CpuTime>,
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

interface Channel {
  readonly ready: Promise<unknown>
  call(name: string, argument?: unknown): Promise<unknown>
}

interface Answer {
  readonly ready?: unknown
  readonly failed?: string
  readonly call?: number
  readonly value?: unknown
}

function createChannel(child: ChildProcess, name: string): Channel {
  const calls = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  const ready = Promise.withResolvers<unknown>()
  let ended: Error | undefined
  let said = ''
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-2_000)
  })
  const fail = (error: Error): void => {
    ended ??= error
    ready.reject(ended)
    for (const { reject } of calls.values()) reject(ended)
    calls.clear()
  }
  child.on('message', ({ ready: value, failed, call, value: answer }: Answer) => {
    if (failed !== undefined) fail(new Error(`${name}: ${failed}`))
    else if (call === undefined) ready.resolve(value)
    else {
      calls.get(call)?.resolve(answer)
      calls.delete(call)
    }
  })
  child.once('error', fail)
  child.once('exit', code => fail(new Error(`${name} ended with code ${code}. ${said}`)))
  let count = 0
  return {
    ready: ready.promise,
    call(command, argument) {
      if (ended !== undefined) return Promise.reject(ended)
      const call = ++count
      return new Promise((resolve, reject) => {
        calls.set(call, { resolve, reject })
        child.send({ call, name: command, argument })
      })
    },
  }
}

async function end(child: ChildProcess, closed: Promise<unknown>): Promise<void> {
  const gone = new Promise<void>(resolve => {
    if (child.exitCode !== null || child.signalCode !== null) resolve()
    else child.once('exit', () => resolve())
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), closeTimeoutMs)
  await closed.catch(() => {})
  if (child.connected) child.disconnect()
  await gone
  clearTimeout(timer)
}
