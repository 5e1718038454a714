/** A Koa application, mirrored. */
import { json } from 'node:stream/consumers'
import Router from '@koa/router'
import Koa from 'koa'
import { openSqliteLog } from 'lockstep/log'
import { createKoaMiddleware, openMirror } from 'lockstep/middleware'

const { FILE = 'mirror.db', PORT = '3010' } = process.env
const app = new Koa()
const router = new Router()

const log = await openSqliteLog({ file: FILE })
const mirror = await openMirror({
  log,
  resources: { books: {} },
  listener: (request, response) => app.callback()(request, response),
  journalFile: `${FILE}.intents`,
})
app.use(createKoaMiddleware(mirror))

// From here on it is what it was.
interface Book {
  id: number
  title: string
}
const books = new Map<string, Book>([['1', { id: 1, title: 'Emma' }]])
router.get('/books', context => {
  context.body = [...books.values()]
})
router.post('/books', async context => {
  const book = { ...((await json(context.req)) as Book), id: books.size + 1 }
  books.set(String(book.id), book)
  context.status = 201
  context.body = book
})
router.get('/books/:id', context => {
  const book = books.get(context.params['id']!)
  if (book !== undefined) context.body = book
})
router.patch('/books/:id', async context => {
  const book = { ...books.get(context.params['id']!)!, ...((await json(context.req)) as Partial<Book>) }
  books.set(context.params['id']!, book)
  context.body = book
})
router.delete('/books/:id', context => {
  context.status = books.delete(context.params['id']!) ? 204 : 404
})
app.use(router.routes())

await mirror.start()
const server = app.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as { port: number }).port}`)
})
