/** Express over a table of its own. Writes are its own routes and SQL, recorded in the same transaction; the rest is Lockstep's. */
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import express from 'express'
import { openSqliteLog, type Recorded, readRecordedHeaders, record } from 'lockstep/log'
import { createNodeListener, defineResource, openService } from 'lockstep/service'

const { FILE = 'shop.db', PORT = '3010' } = process.env
const orders = defineResource('orders', {
  schema: { type: 'object', properties: { item: { type: 'string' } } },
})
const log = await openSqliteLog({ file: FILE })
const service = await openService({ resources: [orders], log, readOnly: true })

const database = new DatabaseSync(FILE, { timeout: 5_000 })
database.exec(
  'CREATE TABLE IF NOT EXISTS customer_order (id INTEGER PRIMARY KEY, item TEXT, amount INT NOT NULL)',
)
const row = 'CAST(id AS TEXT) AS id, item, amount'
const insert = database.prepare(`INSERT INTO customer_order VALUES (NULL, ?, 1) RETURNING ${row}`)
const update = database.prepare(`UPDATE customer_order SET amount = ? WHERE id = ? RETURNING ${row}`)
const remove = database.prepare('DELETE FROM customer_order WHERE id = ? RETURNING id')

/** Runs a statement on the own table and records what became of the row: both, or neither. */
function write(statement: StatementSync, ...values: SQLInputValue[]): Recorded[] {
  database.exec('BEGIN IMMEDIATE')
  try {
    const row = statement.get(...values)
    const state = statement === remove ? null : row!
    const recorded = row === undefined ? [] : record(database, { path: `/orders/${row['id']}`, state })
    database.exec('COMMIT')
    return recorded
  } catch (error) {
    database.exec('ROLLBACK')
    throw error
  }
}

const app = express().use(express.json())
app.post('/orders', async ({ body }, response) => {
  const recorded = write(insert, body.item)
  response.set(await readRecordedHeaders(log, recorded))
  response.location(recorded[0]!.path).sendStatus(201)
})
app.patch('/orders/:id', async ({ body, params }, response) => {
  const recorded = write(update, body.amount, params.id)
  response.set(await readRecordedHeaders(log, recorded)).sendStatus(recorded.length === 0 ? 404 : 204)
})
app.delete('/orders/:id', async ({ params }, response) => {
  const recorded = write(remove, params.id)
  response.set(await readRecordedHeaders(log, recorded)).sendStatus(recorded.length === 0 ? 404 : 204)
})
app.use(createNodeListener(service))
const server = app.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as { port: number }).port}/orders`)
})
