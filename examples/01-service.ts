/** A mirrored service: REST on port 3010, its messages on an MQTT broker at port 1884, everything kept in people.db. */
import { openEmbeddedBroker } from 'lockstep/broker'
import { openSqliteLog } from 'lockstep/log'
import { defineResource, openHttpServer, openService, type StateOf } from 'lockstep/service'

const people = defineResource('people', {
  schema: {
    type: 'object',
    required: ['name'],
    properties: { name: { type: 'string' }, email: { type: 'string' } },
  },
})
export type Api = { people: StateOf<typeof people> }

const { PORT = '3010', MQTT_PORT = '1884', FILE = 'people.db' } = process.env
const log = await openSqliteLog({ file: FILE })
const broker = await openEmbeddedBroker({ port: Number(MQTT_PORT) })
const service = await openService({ resources: [people], log, broker })
const server = await openHttpServer(service, { port: Number(PORT) })
console.log(`${server.url}/people`, broker.url)
