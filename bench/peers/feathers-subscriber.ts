/** One socket.io client that hears every change of the Feathers service and counts them. */
import { io } from 'socket.io-client'
import { runProgram } from '../harness/program.ts'

runProgram<{ url: string }>(async ({ url }) => {
  const socket = io(url, { transports: ['websocket'] })
  let received = 0
  socket.on('people patched', () => {
    received++
  })
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('connect_error', reject)
  })
  return { commands: { received: () => received }, close: () => socket.close() }
})
