/** A lamp that speaks only MQTT writes its own state; whoever speaks only HTTP sees its topics. */
import { createServer } from 'node:http'
import { connectMqtt, openEmbeddedBroker } from 'lockstep/broker'
import { openSqliteLog } from 'lockstep/log'
import { createNodeListener, defineResource, openService } from 'lockstep/service'
import { mountTopics, openTopics, openWrites } from 'lockstep/topics'

const { FILE = 'lamps.db', PORT = '3020' } = process.env
const lamps = defineResource('lamps', {
  schema: { type: 'object', properties: { on: { type: 'boolean' }, lux: { type: 'number' } } },
})
await using log = await openSqliteLog({ file: FILE })
await using broker = await openEmbeddedBroker({ port: 0, publishers: { kitchen: 'secret' } })
await using service = await openService({ resources: [lamps], log, broker })
await using _writes = await openWrites({
  broker,
  service,
  prefix: 'devices/{user}/',
  replies: 'replies/{user}',
  // Each lamp itself, and nothing else.
  authorize: ({ publisher, user, path }) => publisher?.username === user && path === `/lamps/${user}`,
})
await using topics = await openTopics({ broker, access: 'anyone' })
const server = createServer(createNodeListener(service))
mountTopics(topics, server)
await new Promise<void>(resolve => server.listen(Number(PORT), '127.0.0.1', resolve))
const { port } = server.address() as { port: number }
const url = `http://127.0.0.1:${port}`

await using lamp = await connectMqtt(broker.url, { username: 'kitchen', password: 'secret' })
const answered = new Promise<string>(resolve => {
  void lamp.subscribe(['replies/kitchen'], ({ payload }) => resolve(payload)).then(() => write())
})
const write = (): Promise<void> =>
  lamp.publish(
    'devices/kitchen/lamps/kitchen/_put',
    JSON.stringify({
      reply: 'replies/kitchen',
      correlation: crypto.randomUUID(),
      body: { on: true, lux: 40 },
    }),
  )
console.log('the lamp heard', JSON.parse(await answered).status)
console.log('REST says', await (await fetch(`${url}/lamps/kitchen`)).json())
await fetch(`${url}/topics/notes/kitchen`, { method: 'PUT', body: 'dim at night' })
console.log('the topic says', await (await fetch(`${url}/topics/notes/kitchen`)).text())
server.closeAllConnections()
server.close()
