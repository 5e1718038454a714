/** Starts a PostgreSQL with its defaults, and durable commits, on the core of the server, in a folder of its own. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chownSync, globSync, mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { freePort } from './free-port.ts'
import { pinned, serverCore } from './measured-process.ts'

export interface Postgres extends AsyncDisposable {
  readonly url: string
  /** Makes an empty database and gives its URL. */
  createDatabase(): Promise<string>
  stop(): Promise<void>
}

/** Where the programs are; `undefined` where they are not installed. */
export function findPostgres(): string | undefined {
  return globSync('/usr/{lib/postgresql/*,local}/bin/postgres')
    .sort()
    .at(-1)
    ?.replace(/\/postgres$/, '')
}

/** Resolves when it takes connections. */
export async function startPostgres(programs: string): Promise<Postgres> {
  const own = mkdtempSync(join('/var/tmp', 'lockstep-bench-'))
  const user = findUser()
  if (user.uid !== undefined) chownSync(own, user.uid, user.gid!)
  const data = join(own, 'data')
  const initdb = ['-D', data, '-A', 'trust', '-U', 'postgres', '-E', 'UTF8', '--locale=C']
  execFileSync(join(programs, 'initdb'), initdb, { ...user, stdio: 'ignore', cwd: own })
  const port = await freePort()
  const settings = [
    'listen_addresses=127.0.0.1',
    'max_connections=200',
    'max_wal_size=8GB',
    'shared_buffers=512MB',
  ]
  const [command, ...args] = pinned(serverCore, [
    join(programs, 'postgres'),
    ...['-D', data, '-p', String(port), '-k', own],
    ...settings.flatMap(setting => ['-c', setting]),
  ])
  const child = spawn(command, args, { ...user, stdio: ['ignore', 'ignore', 'pipe'], cwd: own })
  const kill = (): void => void child.kill('SIGQUIT')
  process.once('exit', kill)
  await started(child)
  const urlOf = (database: string): string => `postgres://postgres@127.0.0.1:${port}/${database}`
  const stop = async (): Promise<void> => {
    process.off('exit', kill)
    const gone = new Promise(resolve => child.once('exit', resolve))
    kill()
    await gone
    await rm(own, { recursive: true, force: true })
  }
  let databases = 0
  return {
    url: urlOf('postgres'),
    async createDatabase() {
      const name = `bench_${databases++}`
      const client = new pg.Client({ connectionString: urlOf('postgres') })
      await client.connect()
      await client.query(`CREATE DATABASE ${name}`)
      await client.end()
      return urlOf(name)
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

function started(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = ''
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-2_000)
      if (said.includes('ready to accept connections')) resolve()
    })
    child.once('error', reject)
    child.once('exit', code => reject(new Error(`postgres ended with code ${code}: ${said}`)))
  })
}

/** The server refuses to run as root. */
function findUser(): { readonly uid?: number; readonly gid?: number } {
  if (process.getuid?.() !== 0) return {}
  const idOf = (flag: string): number => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
  return { uid: idOf('-u'), gid: idOf('-g') }
}
