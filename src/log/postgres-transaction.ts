/**
 * Fits the libraries by which applications talk to PostgreSQL to one function that runs a statement in their
 * transaction. They are told apart by their methods; none of them is imported.
 *
 * A statement takes one text and gives texts, so that no parser, serializer or cached type of theirs matters.
 */
import { describeValue, LockstepError } from '../contract/index.ts'
import type { Statement } from './postgres-change.ts'
import type { Row } from './postgres-pool.ts'

/** A connection of `pg` on which the transaction was begun. */
export interface PgTransaction {
  query(text: string, values: string[]): Promise<{ readonly rows: unknown[] }>
}

/** What `sql.begin` of `postgres` (Postgres.js) gives. */
export interface PostgresJsTransaction {
  unsafe(text: string, parameters: string[]): PromiseLike<readonly unknown[]>
}

/** What `db.transaction` of Drizzle gives. */
export interface DrizzleTransaction {
  execute(text: string): PromiseLike<unknown>
}

/** What `db.transaction().execute` of Kysely gives. */
export interface KyselyTransaction {
  executeQuery(query: KyselyQuery): Promise<{ readonly rows: unknown[] }>
}

/** A `CompiledQuery` of Kysely. */
export interface KyselyQuery {
  readonly sql: string
  readonly parameters: readonly unknown[]
  readonly query: {
    readonly kind: 'RawNode'
    readonly sqlFragments: readonly string[]
    readonly parameters: readonly never[]
  }
  readonly queryId: { readonly queryId: string }
}

/** A transaction of an application in PostgreSQL. */
export type PostgresTransaction =
  | PgTransaction
  | PostgresJsTransaction
  | DrizzleTransaction
  | KyselyTransaction

/** Runs a statement in the application's transaction. */
export type RunStatement = (statement: Statement) => Promise<readonly Row[]>

/** `undefined` where it is none of these. */
export function createRun(tx: unknown): RunStatement | undefined {
  if (has<PostgresJsTransaction>(tx, 'unsafe')) {
    return async ({ text, value }) => (await tx.unsafe(text, [value])) as readonly Row[]
  }
  if (has<KyselyTransaction>(tx, 'executeQuery')) {
    return async statement => (await tx.executeQuery(compile(statement))).rows as Row[]
  }
  if (has<DrizzleTransaction>(tx, 'execute')) {
    return async ({ text, value }) => readResult(await tx.execute(text.replace('$1', () => quoteText(value))))
  }
  if (has<PgTransaction>(tx, 'query')) {
    return async ({ text, value }) => (await tx.query(text, [value])).rows as Row[]
  }
  return undefined
}

function has<T>(tx: unknown, method: keyof T): tx is T {
  const isObject = (typeof tx === 'object' && tx !== null) || typeof tx === 'function'
  return isObject && typeof (tx as T)[method] === 'function'
}

let queries = 0

function compile({ text, value }: Statement): KyselyQuery {
  const query = { kind: 'RawNode', sqlFragments: [text], parameters: [] } as const
  return { sql: text, parameters: [value], query, queryId: { queryId: `lockstep-${queries++}` } }
}

/** Drizzle takes values only in objects of its own; as text, it is a constant in which nothing has a meaning, whatever the settings. */
function quoteText(value: string): string {
  return `E'${value.replace(/['\\]/g, '\\$&')}'`
}

/** What Drizzle gives is what the library below it gives. */
function readResult(result: unknown): readonly Row[] {
  if (Array.isArray(result)) return result as Row[]
  const { rows } = result as { readonly rows?: unknown }
  if (Array.isArray(rows)) return rows as Row[]
  throw new LockstepError(
    'invalid-option',
    `The transaction that record was given answers with ${describeValue(result)} and not with rows. Give one of Drizzle over pg or postgres.`,
  )
}
