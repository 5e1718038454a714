/** A NestJS application, mirrored. Where decorators are compiled they are written as `@Get()`; here they are called. */
import 'reflect-metadata'
import { Body, Controller, Delete, Get, Module, NotFoundException, Param, Patch, Post } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { openSqliteLog } from 'lockstep/log'
import { createNodeMiddleware, openMirror } from 'lockstep/middleware'

const { FILE = 'mirror.db', PORT = '3010' } = process.env
const books = new Map([['1', { id: 1, title: 'Emma' }]])

class Books {
  list() {
    return [...books.values()]
  }
  add(given: { title: string }) {
    const book = { ...given, id: books.size + 1 }
    books.set(String(book.id), book)
    return book
  }
  find(id: string) {
    if (!books.has(id)) throw new NotFoundException()
    return books.get(id)!
  }
  change(id: string, given: { title: string }) {
    books.set(id, { ...this.find(id), ...given })
    return this.find(id)
  }
  remove(id: string) {
    books.delete(id)
  }
}
const route = (name: keyof Books, verb: MethodDecorator, ...given: ParameterDecorator[]): void => {
  verb(Books.prototype, name, Object.getOwnPropertyDescriptor(Books.prototype, name)!)
  for (const [index, parameter] of given.entries()) parameter(Books.prototype, name, index)
}
route('list', Get())
route('add', Post(), Body())
route('find', Get(':id'), Param('id'))
route('change', Patch(':id'), Param('id'), Body())
route('remove', Delete(':id'), Param('id'))
Controller('books')(Books)
class AppModule {}
Module({ controllers: [Books] })(AppModule)

const app = await NestFactory.create(AppModule, { logger: false })
const log = await openSqliteLog({ file: FILE })
const listener = app.getHttpAdapter().getInstance()
const mirror = await openMirror({ log, resources: { books: {} }, listener, journalFile: `${FILE}.intents` })
app.use(createNodeMiddleware(mirror))
await app.init()
await mirror.start()
await app.listen(Number(PORT), '127.0.0.1')
console.log(await app.getUrl())
