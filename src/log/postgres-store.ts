/**
 * How a batch of writes is begun, seen and committed in PostgreSQL.
 *
 * A batch is one transaction that holds the log's lock from its begin to its commit, so the works of all instances
 * stand one after another and their changes are numbered as they are written. PROTOCOL.md §7.
 */
import { formatMarker, type Head, LockstepError, parentOf } from '../contract/index.ts'
import type { Batch, ResourceState, StreamState } from './batch.ts'
import type { Receipt } from './change-log.ts'
import { asLogFailure, type CommitStore } from './group-commit.ts'
import { PostgresCommitted } from './postgres-committed.ts'
import { type Present, presentSql, readPresent } from './postgres-guard.ts'
import type { LookAhead } from './postgres-look-ahead.ts'
import { findOutcome } from './postgres-outcome.ts'
import { isConnectionFailure, type PostgresConnections, type RunQuery } from './postgres-pool.ts'
import type { PostgresNames } from './postgres-schema.ts'
import { PostgresSession, type SessionOptions } from './postgres-session.ts'
import { readHead } from './postgres-streams.ts'

/** How many works are looked ahead into: as many as a batch may have. */
const maxLookAhead = 512

export interface PostgresStoreHooks {
  /** Takes in what is found under the lock. `false` where it may be another database, or an older one. */
  readonly onBegun: (present: Present, heads: readonly Head[]) => boolean
  /** Judges the database. The batch is begun again behind it. */
  readonly settle: () => Promise<unknown>
}

export class PostgresStore implements CommitStore {
  /** The works that wait for their batch, in order. */
  readonly waiting: Set<LookAhead> = new Set()
  readonly #connections: PostgresConnections
  readonly #names: PostgresNames
  readonly #options: SessionOptions
  readonly #hooks: PostgresStoreHooks
  readonly #write: string
  #session: PostgresSession | undefined
  #committed: PostgresCommitted | undefined

  constructor(
    connections: PostgresConnections,
    names: PostgresNames,
    options: SessionOptions,
    hooks: PostgresStoreHooks,
  ) {
    this.#connections = connections
    this.#names = names
    this.#options = options
    this.#hooks = hooks
    this.#write = writeSql(names.schema)
  }

  /** What the batch that is open sees. */
  get committed(): PostgresCommitted {
    return this.#committed!
  }

  async begin(): Promise<void> {
    const works: LookAhead[] = []
    for (const work of this.waiting) {
      if (works.push(work) === maxLookAhead) break
    }
    for (const work of works) work.start()
    this.#session = await this.#beginJudged()
    try {
      await this.#committed!.load(works.flatMap(({ wants }) => wants))
    } catch (error) {
      await this.#session.rollback()
      throw error
    }
  }

  async commit(batch: Batch): Promise<void> {
    const session = this.#session!
    this.#committed!.close()
    if (batch.changes.length === 0 && batch.receipts.size === 0) {
      if (session.failed) throw new Error('A read of the batch failed.')
      await session.rollback()
      return
    }
    await session.query(this.#write, valuesOf(batch))
    try {
      await session.commit()
    } catch (error) {
      if (!isConnectionFailure(error) || !(await this.#isCommitted(batch, error))) throw error
    }
  }

  async rollback(): Promise<void> {
    await this.#session?.rollback()
  }

  /** Runs `action` in a transaction of its own under the lock. Not to be called while a batch is open. */
  async transact<T>(action: (query: RunQuery) => Promise<T>): Promise<T> {
    try {
      const { session } = await PostgresSession.begin(this.#connections, this.#names, this.#options)
      try {
        const value = await action(session.query)
        await session.commit()
        return value
      } catch (error) {
        await session.rollback()
        throw error
      }
    } catch (error) {
      throw asLogFailure(error)
    }
  }

  stream(stream: string): StreamState | undefined {
    return this.committed.stream(stream)
  }

  resource(path: string): ResourceState | undefined {
    return this.committed.resource(path)
  }

  pathsBelow(path: string, limit: number): readonly string[] {
    return this.committed.pathsBelow(path, limit)
  }

  receipt(key: string): Receipt | undefined {
    return this.committed.receipt(key)
  }

  /** Errors: `outcome-unknown`. */
  async #isCommitted(batch: Batch, cause: unknown): Promise<boolean> {
    const outcome = await findOutcome(this.#connections, this.#names, this.#options, batch)
    if (outcome !== undefined) return outcome
    throw new LockstepError(
      'outcome-unknown',
      'The connection to the database was lost during the commit, so it is not known whether the write was made. Read the resource, or send the request again where it has an Idempotency-Key.',
      { cause },
    )
  }

  async #beginJudged(): Promise<PostgresSession> {
    const { schema } = this.#names
    for (;;) {
      const { session, results } = await PostgresSession.begin(
        this.#connections,
        this.#names,
        this.#options,
        `SELECT stream, epoch, head, first, version_floor FROM ${schema}.stream`,
        `SELECT ${presentSql}`,
      )
      const [streams = [], [present] = []] = results
      if (this.#hooks.onBegun(readPresent(present!), streams.map(readHead))) {
        this.#committed = new PostgresCommitted(session.query, schema, streams)
        return session
      }
      await session.rollback()
      await this.#hooks.settle()
    }
  }
}

/** Everything that a batch leaves, in one statement. */
function writeSql(schema: string): string {
  return `
    WITH resource AS (
      INSERT INTO ${schema}.resource (path, stream, collection, version, seq, state)
      SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[])
      ON CONFLICT (path) DO UPDATE SET collection = excluded.collection, version = excluded.version,
        seq = excluded.seq, state = excluded.state
    ), change AS (
      INSERT INTO ${schema}.change (stream, seq, event, path, topic_path, version, time_ms, open_text)
      SELECT * FROM unnest($7::text[], $8::bigint[], $9::text[], $10::text[], $11::text[], $12::bigint[],
        $13::bigint[], $14::text[])
    ), receipt AS (
      INSERT INTO ${schema}.receipt (key, text, marker, time_ms)
      SELECT * FROM unnest($15::text[], $16::text[], $17::text[], $18::bigint[])
      ON CONFLICT (key) DO UPDATE SET text = excluded.text, marker = excluded.marker, time_ms = excluded.time_ms
    ), stream AS (
      UPDATE ${schema}.stream SET head = moved.head FROM unnest($19::text[], $20::bigint[]) AS moved (stream, head)
      WHERE stream.stream = moved.stream
    )
    SELECT`
}

function valuesOf(batch: Batch): unknown[] {
  const resources = [...batch.resources.values()]
  const { changes } = batch
  const receipts = [...batch.receipts]
  const heads = batch.movedHeads()
  return [
    resources.map(({ path }) => path),
    resources.map(({ stream }) => stream),
    resources.map(({ path, stateText }) => (stateText === undefined ? null : parentOf(path))),
    resources.map(({ version }) => version),
    resources.map(({ seq }) => seq),
    resources.map(({ stateText }) => stateText ?? null),
    changes.map(({ stream }) => stream),
    changes.map(({ seq }) => seq),
    changes.map(({ event }) => event),
    changes.map(({ path }) => path),
    changes.map(({ path, topicPath }) => (topicPath === path ? null : topicPath)),
    changes.map(({ version }) => version),
    changes.map(({ timeMs }) => Math.trunc(timeMs)),
    changes.map(({ openText }) => openText),
    receipts.map(([key]) => key),
    receipts.map(([, { text }]) => text),
    receipts.map(([, { marker }]) => formatMarker(marker)),
    receipts.map(([, { timeMs }]) => Math.trunc(timeMs)),
    heads.map(({ stream }) => stream),
    heads.map(({ seq }) => seq),
  ]
}
