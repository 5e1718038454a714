/** Starts log-writer.ts as a process of its own and hears what it acknowledges. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export interface Acknowledged {
  readonly path: string
  readonly version: number
  readonly seq: number
  readonly epoch: string
}

export interface LogProcess {
  readonly acknowledged: readonly Acknowledged[]
  /** Resolves when so many changes are acknowledged, or when it has ended. */
  heard(count: number): Promise<void>
  /** Ends it at once, as a power cut does for it, and resolves when it is gone and all it said is heard. */
  kill(): Promise<void>
  /** Resolves with its exit code when it ends by itself. */
  readonly ended: Promise<number | null>
}

export function startLogWriter(
  file: string,
  writers: number,
  changes = Number.POSITIVE_INFINITY,
): LogProcess {
  const script = fileURLToPath(new URL('./log-writer.ts', import.meta.url))
  const child = spawn(
    process.execPath,
    [
      '--conditions=lockstep-source',
      '--disable-warning=ExperimentalWarning',
      script,
      file,
      `${writers}`,
      `${changes}`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const acknowledged: Acknowledged[] = []
  let rest = ''
  let wake = (): void => {}
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop()!
    for (const line of lines) {
      const [path = '', version, seq, epoch = ''] = line.split(' ')
      acknowledged.push({ path, version: Number(version), seq: Number(seq), epoch })
    }
    wake()
  })
  const ended = once(child, 'close').then(([code]) => {
    wake()
    return code as number | null
  })
  return {
    acknowledged,
    ended,
    async heard(count) {
      while (acknowledged.length < count && child.exitCode === null && child.signalCode === null) {
        await new Promise<void>(resolve => {
          wake = resolve
        })
      }
    },
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
  }
}
