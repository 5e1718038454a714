/** Hono over a table of its own, asked in-process as on any runtime: its route writes and records, Lockstep answers the rest. */
import { DatabaseSync } from 'node:sqlite'
import { Hono } from 'hono'
import { openSqliteLog, readRecordedHeaders, record } from 'lockstep/log'
import { defineResource, openService } from 'lockstep/service'

const { FILE = 'bank.db' } = process.env
const accounts = defineResource('accounts', {
  schema: { type: 'object', properties: { balance: { type: 'integer' } } },
})
await using log = await openSqliteLog({ file: FILE })
await using service = await openService({ resources: [accounts], log, readOnly: true })

using database = new DatabaseSync(FILE, { timeout: 5_000 })
database.exec(`CREATE TABLE IF NOT EXISTS account (id TEXT PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0));
  INSERT OR IGNORE INTO account VALUES ('ann', 100), ('bob', 0)`)
const move = database.prepare('UPDATE account SET balance = balance + ? WHERE id = ? RETURNING *')

const app = new Hono()
app.post('/transfers', async context => {
  const { from, to, amount } = await context.req.json()
  database.exec('BEGIN IMMEDIATE')
  try {
    const states = [move.get(-amount, from)!, move.get(amount, to)!]
    const recorded = record(
      database,
      states.map(state => ({ path: `/accounts/${state['id']}`, state })),
    )
    database.exec('COMMIT')
    return context.body(null, 204, await readRecordedHeaders(log, recorded))
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    return context.text(String(error), 409)
  }
})
app.all('*', context => service.fetch(context.req.raw))

for (const amount of [30, 300]) {
  const body = JSON.stringify({ from: 'ann', to: 'bob', amount })
  const { status } = await app.request('/transfers', { method: 'POST', body })
  console.log(`transfer of ${amount}: ${status}`)
}
const list = await app.request('/accounts')
console.log(JSON.stringify(await list.json()))
const feed = await app.request('/accounts/_changes')
const { changes } = (await feed.json()) as {
  changes: { event: string; resource: string; tx: { n: number } }[]
}
for (const { event, resource, tx } of changes) console.log(event, resource, `one of ${tx.n}`)
