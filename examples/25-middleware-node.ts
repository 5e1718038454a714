/** A program with nothing but `node:http`, mirrored, and what it does published over MQTT. */
import { createServer, type RequestListener } from 'node:http'
import { json } from 'node:stream/consumers'
import { openEmbeddedBroker } from 'lockstep/broker'
import { openSqliteLog } from 'lockstep/log'
import { createMirroredListener, openMirror } from 'lockstep/middleware'

const { FILE = 'mirror.db', PORT = '3010', MQTT_PORT = '1884' } = process.env

// It was there before.
interface Book {
  id: number
  title: string
}
const books = new Map<string, Book>([['1', { id: 1, title: 'Emma' }]])
const answer: RequestListener = async (request, response) => {
  const [, name, id] = request.url!.split('/')
  const known = books.get(id ?? '')
  let book: Book | Book[] | undefined = known
  if (name !== 'books' || (id !== undefined && known === undefined)) response.statusCode = 404
  else if (request.method === 'DELETE') {
    books.delete(id!)
    book = undefined
    response.statusCode = 204
  } else if (request.method === 'GET') book = known ?? [...books.values()]
  else {
    response.statusCode = known === undefined ? 201 : 200
    book = { id: books.size + 1, ...known, ...((await json(request)) as Omit<Book, 'id'>) }
    books.set(String(book.id), book)
  }
  response.setHeader('content-type', 'application/json')
  response.end(book && JSON.stringify(book))
}

const broker = await openEmbeddedBroker({ port: Number(MQTT_PORT) })
const mirror = await openMirror({
  log: await openSqliteLog({ file: FILE }),
  broker,
  resources: { books: {} },
  listener: answer,
  journalFile: `${FILE}.intents`,
})
await mirror.start()
const server = createServer(createMirroredListener(mirror, answer) as RequestListener)
server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as { port: number }).port} ${broker.url}`)
})
