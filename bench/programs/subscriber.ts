/** Subscribes to a broker with mqtt.js and counts what comes. */
import { connectAsync } from 'mqtt'
import { runProgram } from '../harness/program.ts'

runProgram<{ url: string; filter: string }>(async ({ url, filter }) => {
  const client = await connectAsync(url, { protocolVersion: 4 })
  let received = 0
  client.on('message', () => {
    received++
  })
  await client.subscribeAsync(filter, { qos: 1 })
  return { commands: { received: () => received }, close: () => client.endAsync(true) }
})
