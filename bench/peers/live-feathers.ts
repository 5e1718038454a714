/** Feathers with its socket.io transport: one channel with everyone in it. Nothing is kept for those who are away. */
import { feathers } from '@feathersjs/feathers'
import socketio from '@feathersjs/socketio'
import { runProgram } from '../harness/program.ts'
import { createEntry, listen } from './live-entry.ts'

interface Message {
  readonly id: string
}

const messages = { create: async (message: Message): Promise<Message> => message }

runProgram(async () => {
  const app = feathers<{ messages: typeof messages }>()
  app.configure(socketio({ transports: ['websocket'] }))
  app.use('messages', messages)
  app.on('connection', connection => app.channel('everybody').join(connection))
  app.publish(() => app.channel('everybody'))
  const server = createEntry(text => void app.service('messages').create(JSON.parse(text)))
  await app.setup(server)
  return { ready: { port: await listen(server) } }
})
