/** The plain way: every message to every socket of `ws`, as a text. Nothing is kept for those who are away. */
import { WebSocketServer } from 'ws'
import { runProgram } from '../harness/program.ts'
import { createEntry, listen } from './live-entry.ts'

runProgram(async () => {
  const server = createEntry(text => {
    for (const socket of sockets.clients) socket.send(text)
  })
  const sockets = new WebSocketServer({ server, path: '/live' })
  return { ready: { port: await listen(server) } }
})
