/**
 * The inside of a measured process: takes its options, says when it is ready, and answers calls until the runner
 * goes. The other end is measured-process.ts.
 */

/** What the runner may call, by name; answers travel as JSON. */
export type Commands = Readonly<Record<string, (argument: never) => unknown>>

export interface Started {
  /** What the runner learns when the program is up, such as its port. */
  readonly ready?: unknown
  readonly commands?: Commands
  /** Called before the end. */
  readonly close?: () => unknown
}

/** The processor time of this process in microseconds. */
export interface CpuTime {
  readonly cpuUs: number
  readonly wallUs: number
}

interface Call {
  readonly call: number
  readonly name: string
  readonly argument: unknown
}

/** Runs a program: `main` starts it with the runner's options. Ends the process where it fails. */
export function runProgram<Options>(main: (options: Options) => Promise<Started>): void {
  const send = (message: unknown): void => void process.send?.(message)
  const fail = (error: unknown): void => {
    send({ failed: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    setImmediate(() => process.exit(1))
  }
  process.once('disconnect', () => process.exit(0))
  process.once('uncaughtException', fail)
  process.once('message', (options: Options) => {
    main(options).then(({ ready, commands = {}, close }) => {
      process.on('message', ({ call, name, argument }: Call) => {
        answer(
          { ...commands, cpu: readCpuTime, rss: readRss, close: close ?? (() => {}) },
          name,
          argument,
        ).then(value => send({ call, value }), fail)
      })
      send({ ready: ready ?? {} })
    }, fail)
  })
}

async function answer(commands: Commands, name: string, argument: unknown): Promise<unknown> {
  const command = commands[name]
  if (command === undefined) throw new Error(`The program has no command ${name}.`)
  return await command(argument as never)
}

function readCpuTime(): CpuTime {
  const { user, system } = process.cpuUsage()
  return { cpuUs: user + system, wallUs: performance.now() * 1_000 }
}

/** In bytes. */
function readRss(): number {
  return process.memoryUsage.rss()
}
