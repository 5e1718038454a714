/** A real PostgreSQL for tests: a cluster of its own in a temporary folder, on a free port, to be killed and started again. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { appendFileSync, chownSync, globSync, rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Client } from 'pg'
import { findProgram, freePort } from './mosquitto.ts'

export interface PostgresOptions {
  /** Further lines of postgresql.conf. */
  readonly config?: string
  /** Where the data comes from instead of initdb; gets the new, empty folder. */
  readonly fill?: (folder: string) => void
  /** @default a free one */
  readonly port?: number
  /** `false` leaves the starting to the test. @default true */
  readonly isStarted?: boolean
}

export interface Postgres extends AsyncDisposable {
  readonly port: number
  /** The data directory. */
  readonly folder: string
  url(database?: string, user?: string): string
  /** Runs statements as the superuser. */
  sql(text: string, database?: string): Promise<Record<string, unknown>[]>
  /** Ends it as a power cut does, and resolves when it is gone. */
  kill(): Promise<void>
  /** Starts it again at the same port; it must not run. */
  start(): Promise<void>
  /** Makes it the primary server, where it was a standby. */
  promote(): Promise<void>
  /** Ends it and removes the folder. Idempotent. */
  stop(): Promise<void>
}

/** Where a program of PostgreSQL is; `undefined` where it is not installed. Debian keeps the servers off the PATH. */
export function findPostgres(name: string): string | undefined {
  const [newest] = globSync(`/usr/lib/postgresql/*/bin/${name}`).sort().reverse()
  return newest ?? findProgram(name)
}

/** For `node:test`: the reason to skip where the programs are missing, else `false`. */
export const skipWithoutPostgres: string | false =
  findPostgres('initdb') !== undefined && findPostgres('postgres') !== undefined
    ? false
    : 'the programs initdb and postgres are not installed'

/** The server refuses to run as root: then it runs as the user that Debian makes for it. */
export const postgresUser: { readonly uid?: number; readonly gid?: number } = findUser()

/** Starts PostgreSQL and resolves when it takes connections. Anyone may do anything, without a password. */
export async function startPostgres(options: PostgresOptions = {}): Promise<Postgres> {
  const parent = await mkdtemp(join(tmpdir(), 'lockstep-postgres-'))
  const folder = join(parent, 'data')
  if (postgresUser.uid !== undefined) chownSync(parent, postgresUser.uid, postgresUser.gid!)
  const port = options.port ?? (await freePort())
  if (options.fill === undefined) {
    runPostgres('initdb', [
      '-D',
      folder,
      '-A',
      'trust',
      '-U',
      'postgres',
      '--no-sync',
      '-E',
      'UTF8',
      '--locale=C',
    ])
  } else options.fill(folder)
  // A killed process loses nothing that the system has; only a power cut would.
  const config = ['fsync = off', 'shared_buffers = 32MB', 'max_connections = 150', options.config ?? '', '']
  appendFileSync(join(folder, 'postgresql.conf'), config.join('\n'))
  let child: ChildProcess | undefined
  const endAtExit = (): void => {
    child?.kill('SIGQUIT')
    rmSync(parent, { recursive: true, force: true })
  }
  process.once('exit', endAtExit)

  const postgres: Postgres = {
    port,
    folder,
    url: (database = 'postgres', user = 'postgres') => `postgres://${user}@127.0.0.1:${port}/${database}`,

    async sql(text, database) {
      const client = new Client({ connectionString: postgres.url(database) })
      await client.connect()
      try {
        return (await client.query(text)).rows
      } finally {
        await client.end()
      }
    },

    async kill() {
      await end(child, 'SIGKILL')
      child = undefined
      // Its children notice the death of their parent a moment later.
      rmSync(join(folder, 'postmaster.pid'), { force: true })
      await delay(200)
    },

    async start() {
      child = await startServer(folder, port, parent)
    },

    async promote() {
      await postgres.sql('SELECT pg_promote()')
    },

    async stop() {
      process.off('exit', endAtExit)
      await end(child, 'SIGINT')
      child = undefined
      await rm(parent, { recursive: true, force: true })
    },

    [Symbol.asyncDispose]: () => postgres.stop(),
  }
  if (options.isStarted !== false) await postgres.start()
  return postgres
}

/** Runs a program of PostgreSQL to its end, as the user of the server. */
export function runPostgres(name: string, args: readonly string[]): void {
  execFileSync(findPostgres(name) ?? name, args, {
    ...postgresUser,
    stdio: ['ignore', 'ignore', 'pipe'],
    cwd: tmpdir(),
  })
}

function startServer(folder: string, port: number, socketFolder: string): Promise<ChildProcess> {
  const args = ['-D', folder, '-p', `${port}`, '-k', socketFolder, '-c', 'listen_addresses=127.0.0.1']
  const child = spawn(findPostgres('postgres')!, args, {
    ...postgresUser,
    stdio: ['ignore', 'ignore', 'pipe'],
    cwd: socketFolder,
    env: { LC_ALL: 'C', PATH: process.env['PATH'] },
  })
  return new Promise((resolve, reject) => {
    let log = ''
    child.stderr.setEncoding('utf8')
    child.stderr.on('data', (text: string) => {
      log = `${log}${text}`.slice(-4096)
      if (/ready to accept (read-only )?connections/.test(log)) resolve(child)
    })
    child.once('error', reject)
    child.once('exit', code => reject(new Error(`postgres ended with code ${code}: ${log}`)))
  })
}

function end(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise(resolve => {
    child.once('exit', () => resolve())
    child.kill(signal)
  })
}

function findUser(): { readonly uid?: number; readonly gid?: number } {
  if (process.getuid?.() !== 0) return {}
  try {
    const idOf = (flag: string): number =>
      Number(
        execFileSync('id', [flag, 'postgres'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
      )
    return { uid: idOf('-u'), gid: idOf('-g') }
  } catch {
    return {}
  }
}
