/** A Fastify application over a table of its own, mirrored: reading the table is quicker than asking the routes. */
import { DatabaseSync } from 'node:sqlite'
import { fastify } from 'fastify'
import { openSqliteLog } from 'lockstep/log'
import { createFastifyPlugin, openMirror } from 'lockstep/middleware'

const { FILE = 'mirror.db', PORT = '3010' } = process.env
const database = new DatabaseSync(':memory:')
database.exec("CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT); INSERT INTO book VALUES (1, 'Emma')")
const find = database.prepare('SELECT * FROM book WHERE id = ?')
const all = database.prepare('SELECT * FROM book')

const log = await openSqliteLog({ file: FILE })
const mirror = await openMirror({
  log,
  resources: { books: { read: id => find.get(id), readAll: () => all.all() } },
  journalFile: `${FILE}.intents`,
})
const app = fastify()
app.register(createFastifyPlugin(mirror))

// From here on it is what it was.
interface Route {
  Params: { id: string }
  Body: { title: string }
}
const insert = database.prepare('INSERT INTO book (title) VALUES (?) RETURNING *')
const update = database.prepare('UPDATE book SET title = ? WHERE id = ? RETURNING *')
const remove = database.prepare('DELETE FROM book WHERE id = ?')
app.get('/books', () => all.all())
app.post<Route>('/books', ({ body }, reply) => reply.code(201).send(insert.get(body.title)))
app.get<Route>('/books/:id', ({ params }, reply) => {
  const book = find.get(params.id)
  return book === undefined ? reply.code(404).send() : reply.send(book)
})
app.patch<Route>('/books/:id', ({ params, body }, reply) => reply.send(update.get(body.title, params.id)))
app.delete<Route>('/books/:id', ({ params }, reply) => {
  return reply.code(remove.run(params.id).changes > 0 ? 204 : 404).send()
})

await mirror.start()
console.log(await app.listen({ port: Number(PORT), host: '127.0.0.1' }))
