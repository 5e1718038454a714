/**
 * Connections to PostgreSQL: those of a pool of our own, or of one that the application has made.
 *
 * It asks little of a connection: statements without names, no state beyond a transaction. So a pooler in
 * transaction mode may stand between. The package pg is loaded on first use. PROTOCOL.md §7.
 */
import { LockstepError, quote } from '../contract/index.ts'

/** A statement as pg takes it. */
export interface PostgresQuery {
  readonly text: string
  readonly values?: unknown[]
}

export interface PostgresResult {
  readonly rows: Record<string, unknown>[]
  readonly rowCount: number | null
  readonly command: string
}

/** What is used of a pg `PoolClient`. */
export interface PostgresClient {
  query(query: PostgresQuery): Promise<PostgresResult>
  release(destroy?: Error | boolean): void
  on(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
}

/** What is used of a pg `Pool`. */
export interface PostgresPool {
  connect(): Promise<PostgresClient>
}

/** A row with its values as PostgreSQL writes them. */
export type Row = Readonly<Record<string, string | null>>

/** Runs a statement. */
export type RunQuery = (text: string, values?: unknown[]) => Promise<readonly Row[]>

/** How long a connection may take to come up. */
const connectTimeoutMs = 5_000
/** How long an answer may take before the connection is given up: it may have been cut without a word. */
const answerTimeoutMs = 30_000

/** Values arrive as text, whatever parsers the application has set for all of pg. */
const types = { getTypeParser: () => (text: string) => text }

export class PostgresConnections {
  readonly #pool: PostgresPool
  readonly #end: () => Promise<void>

  /** `end` closes what was opened for it. */
  constructor(pool: PostgresPool, end: () => Promise<void>) {
    this.#pool = pool
    this.#end = end
  }

  /** Takes a connection out of the pool. */
  async connect(): Promise<PostgresConnection> {
    return new PostgresConnection(await this.#pool.connect())
  }

  /** Runs one statement that may be repeated: once more where the connection turns out to be dead. */
  async query(text: string, values?: unknown[]): Promise<readonly Row[]> {
    for (let attempt = 1; ; attempt++) {
      const connection = await this.connect()
      try {
        const rows = await connection.query(text, values)
        connection.release()
        return rows
      } catch (error) {
        connection.release(isConnectionFailure(error))
        if (attempt === 2 || !isConnectionFailure(error)) throw error
      }
    }
  }

  close(): Promise<void> {
    return this.#end()
  }
}

/** A connection that is ours until it is released. */
export class PostgresConnection {
  readonly #client: PostgresClient
  #released = false
  /** Ends when the statements before have: pg wants them one after another. */
  #before: Promise<unknown> = Promise.resolve()

  constructor(client: PostgresClient) {
    this.#client = client
    client.on('error', ignore)
  }

  async query(text: string, values?: unknown[]): Promise<readonly Row[]> {
    return (await this.#run(text, values)).rows as Row[]
  }

  /** Runs several statements without values in one message; gives the rows of each. */
  async queryAll(texts: readonly string[]): Promise<readonly (readonly Row[])[]> {
    const results = (await this.#run(texts.join(';\n'))) as unknown as readonly PostgresResult[]
    return results.map(({ rows }) => rows as Row[])
  }

  /** Commits. Throws where PostgreSQL rolled back instead, as it does after a statement that failed. */
  async commit(): Promise<void> {
    const { command } = await this.#run('COMMIT')
    if (command !== 'COMMIT') throw new Error(`PostgreSQL answered COMMIT with ${command}.`)
  }

  /** Gives it back to the pool, or ends it. Idempotent. */
  release(destroy = false): void {
    if (this.#released) return
    this.#released = true
    if (!destroy) this.#client.removeListener('error', ignore)
    this.#client.release(destroy)
  }

  #run(text: string, values?: unknown[]): Promise<PostgresResult> {
    const query = { text, values, types, query_timeout: answerTimeoutMs }
    const result = this.#before.then(() => {
      if (this.#released) throw new Error('The connection was given back.')
      return this.#client.query(query)
    })
    this.#before = result.catch(ignore)
    return result
  }
}

/** A connection that ends says so where it is used; pg throws what nobody listens to. */
function ignore(): void {}

/** Did the connection fail, and not the statement? */
export function isConnectionFailure(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown }
  // What the server says of a statement has a SQLSTATE; classes 08 and 57P say that the connection ends.
  return !(typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code)) || /^(08|57P)/.test(code)
}

/** Opens a pool at a URL. It connects on first use. Errors: `missing-dependency`, `invalid-option`. */
export async function openPool(url: string, maxConnections: number): Promise<PostgresConnections> {
  if (!/^postgres(ql)?:\/\//.test(url)) {
    throw new LockstepError(
      'invalid-option',
      `The url of openPostgresLog begins with ${quote(url.slice(0, 11))}. Give one such as postgres://user:password@host:5432/database.`,
    )
  }
  const { Pool } = await loadPg()
  const pool = new Pool({
    connectionString: url,
    max: maxConnections,
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    application_name: 'lockstep',
  })
  // The pool has taken the connection out already, and makes another one when it is needed.
  pool.on('error', ignore)
  return new PostgresConnections(pool, () => pool.end())
}

async function loadPg(): Promise<typeof import('pg')> {
  try {
    return await import('pg')
  } catch (error) {
    throw new LockstepError(
      'missing-dependency',
      'openPostgresLog needs the package "pg", which cannot be loaded. Install it: npm install pg@8',
      { cause: error },
    )
  }
}
