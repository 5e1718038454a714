/** The same service on Feathers: its in-memory store, its REST transport, its events to every socket.io client. */

import type { AddressInfo } from 'node:net'
import { feathers } from '@feathersjs/feathers'
import { bodyParser, errorHandler, koa, rest } from '@feathersjs/koa'
import { MemoryService } from '@feathersjs/memory'
import socketio from '@feathersjs/socketio'
import { createPerson, type Person } from '../harness/people.ts'
import { runProgram } from '../harness/program.ts'

runProgram<{ people: number }>(async ({ people }) => {
  const app = koa(feathers<{ people: MemoryService<Person> }>())
  app.use(errorHandler())
  app.use(bodyParser())
  app.configure(rest())
  app.configure(socketio())
  const store = Object.fromEntries(
    Array.from({ length: people }, (_, number) => [`person-${number}`, createPerson(number)]),
  )
  app.use('people', new MemoryService<Person>({ id: 'id', store }))
  app.on('connection', connection => app.channel('everybody').join(connection))
  app.publish(() => app.channel('everybody'))
  const server = await app.listen(0, '127.0.0.1')
  return { ready: { port: (server.address() as AddressInfo).port } }
})
