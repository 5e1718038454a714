/** A real PgBouncer for tests, in transaction mode, in front of a PostgreSQL. */
import { type ChildProcess, spawn } from 'node:child_process'
import { chownSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findProgram, freePort } from './mosquitto.ts'
import { postgresUser, skipWithoutPostgres } from './postgres.ts'

export interface Pgbouncer extends AsyncDisposable {
  readonly url: string
  stop(): Promise<void>
}

/** For `node:test`: the reason to skip where a program is missing, else `false`. */
export const skipWithoutPgbouncer: string | false =
  skipWithoutPostgres ||
  (findProgram('pgbouncer') === undefined ? 'the program pgbouncer is not installed' : false)

/** Starts it with few connections to the server at `target`, and resolves when it takes some. */
export async function startPgbouncer(target: number): Promise<Pgbouncer> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-pgbouncer-'))
  const port = await freePort()
  const lines = [
    '[databases]',
    `* = host=127.0.0.1 port=${target}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = trust',
    `auth_file = ${join(folder, 'users')}`,
    'pool_mode = transaction',
    'default_pool_size = 3',
    'max_client_conn = 500',
  ]
  await writeFile(join(folder, 'users'), '"postgres" ""\n')
  await writeFile(join(folder, 'pgbouncer.ini'), `${lines.join('\n')}\n`)
  if (postgresUser.uid !== undefined) chownSync(folder, postgresUser.uid, postgresUser.gid!)
  const child = spawn(findProgram('pgbouncer')!, [join(folder, 'pgbouncer.ini')], {
    ...postgresUser,
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  await started(child)
  const stop = async (): Promise<void> => {
    process.off('exit', kill)
    const gone = new Promise(resolve => child.once('exit', resolve))
    if (child.exitCode === null && child.signalCode === null) {
      kill()
      await gone
    }
    await rm(folder, { recursive: true, force: true })
  }
  return { url: `postgres://postgres@127.0.0.1:${port}/postgres`, stop, [Symbol.asyncDispose]: stop }
}

function started(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = ''
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      log = `${log}${text}`.slice(-4096)
      if (log.includes('process up')) resolve()
    })
    child.once('error', reject)
    child.once('exit', code => reject(new Error(`pgbouncer ended with code ${code}: ${log}`)))
  })
}
