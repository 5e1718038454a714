/**
 * A simulated PostgreSQL: sessions, transactions, locks and visibility, on virtual time; it is killed, promoted and set back.
 *
 * READ COMMITTED: each statement sees what was committed when it ran, and its own transaction's rows. Who writes the log's tables
 * holds the advisory lock; transactions of the application hold rows instead, commit when they like, and take their ids as
 * they insert. What was committed is durable; a commit may be made and its answer lost.
 */
import type {
  PostgresClient,
  PostgresPool,
  PostgresQuery,
  PostgresResult,
} from '../../src/log/postgres-pool.ts'
import {
  type Change,
  copyTables,
  createTables,
  isWrite,
  type Recorded,
  type Row,
  runStatement,
  type Tables,
} from './postgres-statement.ts'
import type { Runtime } from './runtime.ts'

/** A commit in the history that led to it: what was lost by going back is in no later one. */
export interface Step {
  readonly before: Step | undefined
}

/** What the disk holds after a commit. Its tables are never altered. */
export interface Commit {
  readonly step: Step
  readonly lsn: number
  readonly tables: Tables
}

export class SimPostgres {
  readonly runtime: Runtime
  isUp = true
  timeline = 1
  readonly sessions = new Set<SimSession>()
  readonly #history: Commit[] = [{ step: { before: undefined }, lsn: 1_000, tables: createTables() }]
  readonly #listeners = new Set<(isSetBack: boolean) => void>()
  /** Who holds a lock, and who waits for it. */
  readonly #locks = new Map<string, { holder: SimSession; readonly waiting: Waiting[] }>()
  #ids = 0
  #xids = 0

  constructor(runtime: Runtime) {
    this.runtime = runtime
  }

  get last(): Commit {
    return this.#history.at(-1)!
  }

  onCommit(listener: (isSetBack: boolean) => void): void {
    this.#listeners.add(listener)
  }

  nextId(): number {
    return ++this.#ids
  }

  nextXid(): number {
    return ++this.#xids
  }

  /** A pool of connections for one process. */
  createPool(): SimPool {
    return new SimPool(this)
  }

  /** Ends the server as a power cut does; what was committed stays. */
  kill(): void {
    this.isUp = false
    for (const session of [...this.sessions]) session.end()
  }

  start(): void {
    this.isUp = true
  }

  /** Puts an earlier commit in the place of the last one: a standby that was behind is promoted, or a backup is recovered. */
  promote(to: Commit): void {
    this.kill()
    this.#history.push({ ...to, lsn: to.lsn + 1 })
    this.timeline++
    for (const listener of this.#listeners) listener(true)
    this.start()
  }

  /** A commit that a standby may have come to, of those for which `isUsable` holds. */
  pickEarlier(isUsable: (commit: Commit) => boolean): Commit {
    const usable = this.#history.filter(isUsable)
    return usable[Math.max(0, usable.length - 1 - this.runtime.between(0, 12))]!
  }

  isHeld(lock: string): boolean {
    return this.#locks.has(lock)
  }

  acquire(session: SimSession, lock: string): Promise<void> {
    const entry = this.#locks.get(lock)
    if (entry?.holder === session) return Promise.resolve()
    if (entry === undefined) {
      this.#locks.set(lock, { holder: session, waiting: [] })
      session.locks.add(lock)
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { session, resolve, reject }
      entry.waiting.push(waiting)
      this.runtime.after(lockTimeoutMs, () => {
        const index = entry.waiting.indexOf(waiting)
        if (index !== -1) entry.waiting.splice(index, 1)
        if (index !== -1) reject(Object.assign(new Error('lock timeout'), { code: '55P03' }))
      })
    })
  }

  release(session: SimSession): void {
    for (const { waiting } of this.#locks.values()) {
      const index = waiting.findIndex(other => other.session === session)
      if (index !== -1) waiting.splice(index, 1)[0]!.reject(lost())
    }
    for (const lock of session.locks) {
      const entry = this.#locks.get(lock)!
      const next = entry.waiting.shift()
      if (next === undefined) this.#locks.delete(lock)
      else {
        entry.holder = next.session
        next.session.locks.add(lock)
        next.resolve()
      }
    }
    session.locks.clear()
  }

  commit(session: SimSession): void {
    const { working, recorded, inserted } = session
    if (working === undefined && inserted.length === 0 && recorded.size === 0) return
    const tables = working ?? copyTables(this.last.tables)
    const holder = this.#locks.get(logLock)?.holder
    for (const target of [tables, holder?.working]) {
      if (target === undefined) continue
      for (const [path, row] of recorded) target.recorded.set(path, row)
      for (const change of inserted) target.pending.set(change.id, change)
    }
    const { step, lsn } = this.last
    session.step = { before: step }
    this.#history.push({ step: session.step, lsn: lsn + 10, tables })
    if (this.#history.length > 60) this.#history.shift()
    for (const listener of this.#listeners) listener(false)
  }
}

export const logLock = 'the log'
/** Also what two transactions that wait for each other are ended by. */
const lockTimeoutMs = 5_000

interface Waiting {
  readonly session: SimSession
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export class SimPool implements PostgresPool {
  readonly #server: SimPostgres
  readonly #idle: SimSession[] = []
  readonly #sessions = new Set<SimSession>()
  isDead = false

  constructor(server: SimPostgres) {
    this.#server = server
  }

  async connect(): Promise<SimSession> {
    const { runtime } = this.#server
    // A connection that was idle may have died unnoticed.
    const session = this.#idle.pop()
    if (session !== undefined) return session
    await runtime.sleep(runtime.between(1, 4))
    if (this.isDead || !this.#server.isUp) throw lost()
    const opened = new SimSession(this.#server, destroy => {
      if (destroy === true) this.#sessions.delete(opened)
      else this.#idle.push(opened)
    })
    this.#sessions.add(opened)
    return opened
  }

  /** The process is gone: so are its connections, and what they had begun. */
  kill(): void {
    this.isDead = true
    for (const session of this.#sessions) session.end()
  }
}

export class SimSession implements PostgresClient {
  /** What the transaction leaves of the log's tables, once it has written some. */
  working: Tables | undefined
  /** Its last commit. */
  step: Step | undefined
  /** What a transaction of the application leaves. */
  readonly recorded = new Map<string, Recorded>()
  readonly inserted: Change[] = []
  readonly locks = new Set<string>()
  readonly #server: SimPostgres
  readonly #onRelease: (destroy: boolean) => void
  #isEnded = false
  #isFailed = false
  #xid: number | undefined

  constructor(server: SimPostgres, onRelease: (destroy: boolean) => void) {
    this.#server = server
    this.#onRelease = onRelease
    server.sessions.add(this)
  }

  async query({ text, values = [] }: PostgresQuery): Promise<PostgresResult> {
    await this.#travel()
    const results: PostgresResult[] = []
    for (const statement of parseStatements(text)) {
      try {
        results.push(await this.#run(statement, values))
      } catch (error) {
        this.#isFailed = true
        throw error
      }
    }
    await this.#travel()
    return results.length === 1 ? results[0]! : (results as unknown as PostgresResult)
  }

  release(destroy?: Error | boolean): void {
    if (destroy) this.end()
    this.#onRelease(destroy === true || this.#isEnded)
  }

  on(): void {}
  removeListener(): void {}

  /** Ends the connection: what was not committed is undone. */
  end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#server.sessions.delete(this)
    this.#rollback()
  }

  async #travel(): Promise<void> {
    const { runtime } = this.#server
    if (this.#isEnded) throw lost()
    await runtime.sleep(runtime.random() * 2)
    if (this.#isEnded) throw lost()
  }

  async #run({ text, kind }: Statement, values: unknown[]): Promise<PostgresResult> {
    if (kind === 'end') {
      const isMade = text === 'COMMIT' && !this.#isFailed
      if (isMade) this.#server.commit(this)
      this.#rollback()
      return { rows: [], rowCount: 0, command: isMade ? 'COMMIT' : 'ROLLBACK' }
    }
    if (this.#isFailed) throw Object.assign(new Error('current transaction is aborted'), { code: '25P02' })
    if (kind === 'begin') return answer([])
    if (kind === 'lock') {
      await this.#server.acquire(this, logLock)
      return answer([])
    }
    if (kind === 'lock recorded') return answer(await this.#lockRecorded(JSON.parse(values[0] as string)))
    if (kind === 'record') return answer(this.#recordChanges(JSON.parse(values[0] as string)))
    if (kind === 'write') {
      if (!this.locks.has(logLock)) throw new Error(`written without the lock: ${text}`)
      this.working ??= copyTables(this.#server.last.tables)
    }
    const { last, timeline } = this.#server
    const isLocked = (path: string): boolean => this.#server.isHeld(path)
    const place = { timeline, lsn: last.lsn }
    return answer(runStatement(text, { tables: this.working ?? last.tables, place, isLocked }, values))
  }

  /** The function of that name in the database, row by row. */
  async #lockRecorded(wanted: readonly { path: string; stream: string }[]): Promise<Row[]> {
    const rows: Row[] = []
    this.#xid ??= this.#server.nextXid()
    for (const { path, stream } of wanted) {
      await this.#server.acquire(this, path)
      const { tables } = this.#server.last
      const recorded = this.recorded.get(path) ?? tables.recorded.get(path)
      const resource = tables.resources.get(path)
      const known = recorded?.version == null ? resource : recorded
      const version = known?.version ?? tables.streams.get(stream)!.floor
      if (recorded === undefined) this.recorded.set(path, { stream, version: null, state: null })
      rows.push({ path, version: `${version}`, state: known?.state ?? null, xid: `${this.#xid}` })
    }
    return rows
  }

  #recordChanges({ xid, rows }: RecordChanges): Row[] {
    if (xid !== `${this.#xid}`) return [{ written: '0' }]
    for (const { stream, event, path, topic, version, time, message, state } of rows) {
      this.recorded.set(path, { stream, version, state: state ?? null })
      this.inserted.push({
        id: this.#server.nextId(),
        xid: this.#xid!,
        stream,
        event,
        path,
        topicPath: topic ?? null,
        version,
        timeMs: time,
        openText: message,
        state: state ?? null,
      })
    }
    return [{ written: `${rows.length}` }]
  }

  #rollback(): void {
    this.working = undefined
    this.recorded.clear()
    this.inserted.length = 0
    this.#isFailed = false
    this.#xid = undefined
    this.#server.release(this)
  }
}

interface Statement {
  /** In one line. */
  readonly text: string
  readonly kind: 'end' | 'begin' | 'lock' | 'lock recorded' | 'record' | 'write' | 'read'
}

/** By the text of a query: the same few come again and again. */
const parsed = new Map<string, readonly Statement[]>()

function parseStatements(query: string): readonly Statement[] {
  let statements = parsed.get(query)
  if (statements === undefined) {
    const texts = query.split(';\n').map(part => part.replace(/\s+/g, ' ').trim())
    statements = texts.map(text => ({ text, kind: kindOf(text) }))
    parsed.set(query, statements)
  }
  return statements
}

function kindOf(text: string): Statement['kind'] {
  if (text === 'COMMIT' || text === 'ROLLBACK') return 'end'
  if (/^(BEGIN|SET LOCAL|SELECT set_config)/.test(text)) return 'begin'
  if (/^SELECT pg_advisory_xact_lock/.test(text)) return 'lock'
  if (/lock_recorded/.test(text)) return 'lock recorded'
  if (/record_changes/.test(text)) return 'record'
  return isWrite(text) ? 'write' : 'read'
}

interface RecordChanges {
  readonly xid: string
  readonly rows: readonly {
    readonly stream: string
    readonly event: string
    readonly path: string
    readonly topic?: string | null
    readonly version: number
    readonly time: number
    readonly message: string
    readonly state?: string | null
  }[]
}

function answer(rows: Row[]): PostgresResult {
  return { rows, rowCount: rows.length, command: 'SELECT' }
}

function lost(): Error {
  return Object.assign(new Error('Connection terminated'), { code: 'ECONNRESET' })
}
