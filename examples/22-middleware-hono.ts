/** A Hono application, mirrored; any runtime's server may stand before it. */
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { Hono } from 'hono'
import { openSqliteLog } from 'lockstep/log'
import { createHonoMiddleware, openMirror } from 'lockstep/middleware'

const { FILE = 'mirror.db', PORT = '3010' } = process.env
const app = new Hono()

const log = await openSqliteLog({ file: FILE })
const mirror = await openMirror({
  log,
  resources: { books: {} },
  fetch: request => app.fetch(request),
  journalFile: `${FILE}.intents`,
})
app.use(createHonoMiddleware(mirror))

// From here on it is what it was.
const books = new Map([['1', { id: 1, title: 'Emma' }]])
app.get('/books', context => context.json([...books.values()]))
app.post('/books', async context => {
  const book = { ...(await context.req.json()), id: books.size + 1 }
  books.set(String(book.id), book)
  return context.json(book, 201)
})
app.get('/books/:id', context => {
  const book = books.get(context.req.param('id'))
  return book === undefined ? context.notFound() : context.json(book)
})
app.patch('/books/:id', async context => {
  const id = context.req.param('id')
  const book = { ...books.get(id)!, ...(await context.req.json()) }
  books.set(id, book)
  return context.json(book)
})
app.delete('/books/:id', context => {
  return context.body(null, books.delete(context.req.param('id')) ? 204 : 404)
})

await mirror.start()
// Without @hono/node-server, which does the same and more.
const server = createServer(async (request, response) => {
  const { method = 'GET', url } = request
  const headers = new Headers(request.headers as Record<string, string>)
  const body = method === 'GET' ? null : await text(request)
  const answer = await app.fetch(new Request(`http://localhost${url}`, { method, headers, body }))
  response.writeHead(answer.status, Object.fromEntries(answer.headers))
  for await (const part of answer.body ?? []) response.write(part)
  response.end()
}).listen(Number(PORT), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as { port: number }).port}`)
})
