/** Fastify over a table of its own: its routes write and record in one transaction, Lockstep answers every GET. */
import { DatabaseSync } from 'node:sqlite'
import { fastify } from 'fastify'
import { openSqliteLog, readRecordedHeaders, record } from 'lockstep/log'
import { createNodeListener, defineResource, openService } from 'lockstep/service'

const { FILE = 'notes.db', PORT = '3010' } = process.env
const notes = defineResource('notes', {
  schema: { type: 'object', properties: { text: { type: 'string' } } },
})
const log = await openSqliteLog({ file: FILE })
const service = await openService({ resources: [notes], log, readOnly: true })
const listener = createNodeListener(service)

const database = new DatabaseSync(FILE, { timeout: 5_000 })
database.exec('CREATE TABLE IF NOT EXISTS note (id TEXT PRIMARY KEY, text TEXT NOT NULL)')
const save = database.prepare(`INSERT INTO note (id, text) VALUES (?, ?)
  ON CONFLICT (id) DO UPDATE SET text = excluded.text RETURNING *`)

const app = fastify()
const schema = {
  body: { type: 'object', required: ['text'], properties: { text: { type: 'string' } } },
} as const
app.put<{ Params: { id: string }; Body: { text: string } }>(
  '/notes/:id',
  { schema },
  async (request, reply) => {
    const { id } = request.params
    database.exec('BEGIN IMMEDIATE')
    try {
      const state = save.get(id, request.body.text)!
      const path = `/notes/${encodeURIComponent(id)}`
      const recorded = record(database, { path, state, createdBy: 'PUT', cause: request.id })
      database.exec('COMMIT')
      reply.headers(await readRecordedHeaders(log, recorded))
      return state
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK')
      throw error
    }
  },
)
app.get('/*', (request, reply) => {
  reply.hijack()
  listener(request.raw, reply.raw)
})
console.log(`${await app.listen({ port: Number(PORT), host: '127.0.0.1' })}/notes`)
