/** The change log: its port, and one kind in memory, one in a SQLite file, one in PostgreSQL. */
export type { ReportError } from '../contract/index.ts'
export type * from './change-log.ts'
export type { CommitCounts, GroupCommitOptions } from './group-commit.ts'
export { createMemoryLog, type MemoryLog, type MemoryLogImage, type MemoryLogOptions } from './memory.ts'
export {
  openPostgresLog,
  type PostgresClient,
  type PostgresLog,
  type PostgresLogOptions,
  type PostgresPool,
  type PostgresQuery,
  type PostgresResult,
} from './postgres.ts'
export type { PostgresTransaction } from './postgres-transaction.ts'
export { type RecordOptions, record } from './record.ts'
export type { Recorded, RecordedChange } from './recorded-change.ts'
export { readRecordedHeaders } from './recorded-headers.ts'
export { openSqliteLog, type SqliteLog, type SqliteLogOptions } from './sqlite.ts'
