/** Starts a Mosquitto with its defaults on the core of the load, on a free port, without persistence. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { freePort } from './free-port.ts'
import { loadCore, pinned } from './measured-process.ts'

export interface Mosquitto extends AsyncDisposable {
  readonly url: string
  stop(): Promise<void>
}

/** Where the program is; `undefined` where it is not installed. */
export function findMosquitto(): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  return folders.map(folder => join(folder, 'mosquitto')).find(existsSync)
}

/** Resolves when it takes connections. `folder` gets its configuration. */
export async function startMosquitto(program: string, folder: string): Promise<Mosquitto> {
  const port = await freePort()
  const file = join(folder, `mosquitto-${port}.conf`)
  const lines = ['user root', `listener ${port} 127.0.0.1`, 'allow_anonymous true', 'persistence false']
  await writeFile(file, `${lines.join('\n')}\nlog_dest stderr\n`)
  const [command, ...args] = pinned(loadCore, [program, '-c', file])
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const kill = (): void => void child.kill('SIGKILL')
  const gone = new Promise<void>(resolve => child.once('exit', () => resolve()))
  process.once('exit', kill)
  const stop = async (): Promise<void> => {
    process.off('exit', kill)
    kill()
    await gone
  }
  await new Promise<void>((resolve, reject) => {
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-2_000)
      if (/ running\s/.test(said)) resolve()
    })
    child.once('error', reject)
    child.once('exit', code => reject(new Error(`mosquitto ended with code ${code}: ${said}`)))
  })
  return { url: `mqtt://127.0.0.1:${port}`, stop, [Symbol.asyncDispose]: stop }
}
