/**
 * What became of a batch whose commit was not answered, because the connection or the server went away.
 *
 * Whoever gets the log's lock knows that the transaction has ended, and sees whether the numbers that it took are those of its
 * changes. The ids of transactions tell less: behind a crash they may be given again. PROTOCOL.md §7.1.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Batch } from './batch.ts'
import type { PostgresConnections, RunQuery } from './postgres-pool.ts'
import type { PostgresNames } from './postgres-schema.ts'
import { PostgresSession, type SessionOptions } from './postgres-session.ts'

/** How long to ask: a server that was killed is back in less. */
const doubtMs = 15_000
const pauseMs = 50

/** Was it committed? `undefined` where that cannot be found out. */
export async function findOutcome(
  connections: PostgresConnections,
  names: PostgresNames,
  options: SessionOptions,
  batch: Batch,
): Promise<boolean | undefined> {
  for (const endMs = performance.now() + doubtMs; performance.now() < endMs; await delay(pauseMs)) {
    try {
      const { session } = await PostgresSession.begin(connections, names, options)
      try {
        return await isThere(session.query, names.schema, batch)
      } finally {
        await session.rollback()
      }
    } catch {
      // It is coming up again, or cannot be reached.
    }
  }
  return undefined
}

async function isThere(query: RunQuery, schema: string, batch: Batch): Promise<boolean | undefined> {
  const change = batch.changes.at(-1)
  if (change === undefined) return await isReceiptThere(query, schema, batch)
  const { stream, seq, openText } = change
  const [row] = await query(
    `SELECT s.epoch = $2 AS same_epoch, s.head >= $3 AS reached, s.first <= $3 AS held, c.open_text = $4 AS same
      FROM ${schema}.stream s LEFT JOIN ${schema}.change c ON c.stream = s.stream AND c.seq = $3
      WHERE s.stream = $1`,
    [stream, batch.streamState(stream).epoch, seq, openText],
  )
  if (row?.['same_epoch'] !== 't') return undefined
  if (row['reached'] !== 't') return false
  return row['held'] === 't' ? row['same'] === 't' : undefined
}

async function isReceiptThere(query: RunQuery, schema: string, batch: Batch): Promise<boolean> {
  const [receipt] = batch.receipts
  if (receipt === undefined) return true
  const [key, { text, timeMs }] = receipt
  const rows = await query(`SELECT 1 FROM ${schema}.receipt WHERE key = $1 AND text = $2 AND time_ms = $3`, [
    key,
    text,
    Math.trunc(timeMs),
  ])
  return rows.length > 0
}
