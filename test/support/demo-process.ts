/** Runs the demo as `npm start` does, as a child that tests read and end. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { TestContext } from 'node:test'

export interface Demo {
  readonly process: ChildProcess
  /** Resolves with the first match of the pattern in what was printed from now on, or was printed already. */
  printed(pattern: RegExp): Promise<RegExpExecArray>
  stop(signal: NodeJS.Signals): Promise<number | null>
}

/** Starts it on free ports; the test ends it. */
export function startDemo(t: Pick<TestContext, 'after'>, env: Record<string, string>): Demo {
  const anyPort = { PORT: '0', USERS_PORT: '0', PROJECTS_PORT: '0', BUILDS_PORT: '0', MQTT_PORT: '0' }
  const child = spawn(process.execPath, ['--conditions=lockstep-source', 'examples/demo/main.ts'], {
    cwd: new URL('../..', import.meta.url),
    env: { ...process.env, ...anyPort, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  let onOutput: () => void = () => {}
  const hear = (chunk: Buffer): void => {
    output += chunk
    onOutput()
  }
  child.stdout.on('data', hear)
  child.stderr.on('data', hear)
  const ended = once(child, 'exit') as Promise<[number | null]>
  const stop = async (signal: NodeJS.Signals): Promise<number | null> => {
    child.kill(signal)
    return (await ended)[0]
  }
  t.after(() => stop('SIGTERM'))
  return {
    process: child,
    stop,
    async printed(pattern) {
      for (;;) {
        const match = pattern.exec(output)
        if (match !== null) return match
        const more = new Promise<void>(resolve => {
          onOutput = resolve
        })
        const end = await Promise.race([more, ended])
        if (end !== undefined && !pattern.test(output))
          throw new Error(`The demo ended and never printed ${pattern}:\n${output}`)
      }
    },
  }
}
