/** Socket.IO with connection state recovery: a client that comes back within two minutes gets what it missed. */
import { Server } from 'socket.io'
import { runProgram } from '../harness/program.ts'
import { createEntry, listen } from './live-entry.ts'

runProgram(async () => {
  const server = createEntry(text => io.emit('message', JSON.parse(text)))
  const io = new Server(server, { transports: ['websocket'], connectionStateRecovery: {} })
  return { ready: { port: await listen(server) } }
})
