/**
 * One of several processes of one service on one PostgreSQL, to be killed: an instance that answers HTTP and has no broker, or,
 * with `BROKER_URLS`, a relay that publishes and answers nobody.
 */
import { flushCompileCache } from 'node:module'
import { connectMqtt } from 'lockstep/broker'
import { openPostgresLog } from 'lockstep/log'
import { defineResource, openHttpServer, openService } from 'lockstep/service'

const { LOG_URL, BROKER_URLS, PORT } = process.env
const people = defineResource('people', {
  schema: { type: 'object', properties: { name: { type: 'string' } } },
})
const onError = (): void => {}
const log = await openPostgresLog({ url: LOG_URL!, maxConnections: 6, onError })
const broker = BROKER_URLS === undefined ? undefined : await connectMqtt(BROKER_URLS.split(' '), { onError })
const service = await openService({ resources: [people], log, broker, onError })
const server = broker === undefined ? await openHttpServer(service, { port: Number(PORT) }) : undefined
process.once('SIGTERM', async () => {
  await server?.close()
  await service.close()
  await broker?.close()
  await log.close()
  process.exit()
})
process.on('disconnect', () => process.exit())
process.send!({ port: server?.port ?? 0 })
// It may be killed before it would do so itself.
flushCompileCache()
