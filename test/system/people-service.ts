/** A service in a process of its own, to be killed: people in a SQLite file or in PostgreSQL, published to a broker. */
import { connectMqtt } from 'lockstep/broker'
import { openPostgresLog, openSqliteLog } from 'lockstep/log'
import { defineResource, openHttpServer, openService } from 'lockstep/service'

const { LOG_FILE, BROKER_URL, BROKER_USER, BROKER_PASSWORD, PORT } = process.env
const people = defineResource('people', {
  schema: { type: 'object', properties: { name: { type: 'string' } } },
})
const isPostgres = LOG_FILE!.startsWith('postgres:')
// While the database's server is away, there is much to tell.
const onError = isPostgres ? () => {} : undefined
const log = isPostgres
  ? await openPostgresLog({ url: LOG_FILE!, onError })
  : await openSqliteLog({ file: LOG_FILE! })
const broker = await connectMqtt(BROKER_URL!, { username: BROKER_USER, password: BROKER_PASSWORD })
const service = await openService({ resources: [people], log, broker, onError })
const server = await openHttpServer(service, { port: Number(PORT) })
process.send!({ port: server.port })
process.on('disconnect', () => process.exit())
