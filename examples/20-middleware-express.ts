/** An Express application that was there before Lockstep: three lines make its routes a mirrored API. */
import express from 'express'
import { openSqliteLog } from 'lockstep/log'
import { createNodeMiddleware, openMirror } from 'lockstep/middleware'

const { FILE = 'mirror.db', PORT = '3010' } = process.env
const app = express()

const log = await openSqliteLog({ file: FILE })
const mirror = await openMirror({
  log,
  resources: { books: {} },
  listener: app,
  journalFile: `${FILE}.intents`,
})
app.use(createNodeMiddleware(mirror))

// From here on it is what it was.
interface Book {
  id: number
  title: string
}
const books = new Map<string, Book>([['1', { id: 1, title: 'Emma' }]])
app.use(express.json())
app.get('/books', (_, response) => void response.json([...books.values()]))
app.post('/books', ({ body }, response) => {
  const book = { ...body, id: books.size + 1 }
  books.set(String(book.id), book)
  response.status(201).json(book)
})
app.get('/books/:id', ({ params }, response) => {
  const book = books.get(params.id)
  if (book === undefined) response.sendStatus(404)
  else response.json(book)
})
app.patch('/books/:id', ({ params, body }, response) => {
  const book = { ...books.get(params.id)!, ...body }
  books.set(params.id, book)
  response.json(book)
})
app.delete('/books/:id', ({ params }, response) => {
  response.sendStatus(books.delete(params.id) ? 204 : 404)
})

await mirror.start()
const server = app.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as { port: number }).port}`)
})
