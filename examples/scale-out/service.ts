/**
 * One process of a service of which there are several, on one PostgreSQL: with `PORT` an instance that answers HTTP, with `BROKER_URLS`
 * a relay that publishes, with both both. Any of them may be killed, and any number may run.
 */
import { connectMqtt } from 'lockstep/broker'
import { openPostgresLog } from 'lockstep/log'
import { defineResource, openHttpServer, openService } from 'lockstep/service'

const { LOG_URL, BROKER_URLS, PORT, HOST = '127.0.0.1' } = process.env
if (LOG_URL === undefined) throw new Error('LOG_URL is missing: give the URL of the PostgreSQL database.')

const people = defineResource('people', {
  schema: { type: 'object', properties: { name: { type: 'string' } } },
})
const log = await openPostgresLog({ url: LOG_URL })
const broker = BROKER_URLS === undefined ? undefined : await connectMqtt(BROKER_URLS.split(' '))
const service = await openService({ resources: [people], log, broker })
const server =
  PORT === undefined ? undefined : await openHttpServer(service, { port: Number(PORT), host: HOST })
console.log(server === undefined ? 'relays' : `answers at ${server.url}`)

// What was asked before is answered; who asks later finds another instance.
process.once('SIGTERM', async () => {
  await server?.close()
  await service.close()
  await broker?.close()
  await log.close()
  process.exit()
})
