/** A service in a process of its own, to be killed: people in a SQLite file, published to a broker. */
import { connectMqtt } from 'lockstep/broker'
import { openSqliteLog } from 'lockstep/log'
import { defineResource, openHttpServer, openService } from 'lockstep/service'

const { LOG_FILE, BROKER_URL, BROKER_USER, BROKER_PASSWORD, PORT } = process.env
const people = defineResource('people', {
  schema: { type: 'object', properties: { name: { type: 'string' } } },
})
const log = await openSqliteLog({ file: LOG_FILE! })
const broker = await connectMqtt(BROKER_URL!, { username: BROKER_USER, password: BROKER_PASSWORD })
const service = await openService({ resources: [people], log, broker })
const server = await openHttpServer(service, { port: Number(PORT) })
process.send!({ port: server.port })
process.on('disconnect', () => process.exit())
