/** What the three services have in common: a file, a broker, a port, first rows, and a clean end. */
import { join } from 'node:path'
import { connectMqtt } from 'lockstep/broker'
import { openSqliteLog } from 'lockstep/log'
import { type NewState, openHttpServer, openService, type Resource, type Service } from 'lockstep/service'
import { outliveOutput, readFolder } from './settings.ts'

/** Runs one service until its parent ends it. `firstRows` are written when the collection is new. */
export async function runService<State extends { id: string }>(
  name: string,
  resource: Resource<State>,
  firstRows: readonly NewState<State>[],
): Promise<Service> {
  outliveOutput()
  const { SERVICE_PORT, BROKER_URL, BROKER_PASSWORD, AUDIENCE_KEY } = process.env
  const log = await openSqliteLog({ file: join(readFolder('DATA_DIR', '.lockstep'), `${name}.db`) })
  const broker = await connectMqtt(BROKER_URL ?? 'mqtt://127.0.0.1:1883', {
    username: name,
    password: BROKER_PASSWORD,
  })
  // Whoever comes past the gateway is of the house: nothing but loopback is listened to.
  const audience = { service: name, keys: [AUDIENCE_KEY ?? ''], default: 'internal' } as const
  const service = await openService({
    resources: [resource],
    log,
    broker,
    about: { title: `${name[0]?.toUpperCase()}${name.slice(1)} of the demo` },
    ...(AUDIENCE_KEY === undefined ? {} : { audience }),
  })
  const [head] = await service.heads()
  if (head?.seq === 0) {
    await service.transaction(async tx => {
      for (const row of firstRows)
        if ((await tx.read(resource, row.id ?? '')) === undefined) await tx.create(resource, row)
    })
  }
  const close = async (): Promise<void> => {
    await server?.close()
    await service.close()
    await broker.close()
    await log.close()
    process.exit(0)
  }
  const server = await openHttpServer(service, { port: Number(SERVICE_PORT ?? 0) }).catch(async error => {
    process.send?.({ error: `${name}: ${error.message} (${name.toUpperCase()}_PORT sets it.)` })
    return undefined
  })
  // Ctrl-C reaches the whole group; the parent decides when the services end.
  process.on('SIGINT', () => {})
  process.on('SIGTERM', () => void close())
  process.on('disconnect', () => void close())
  if (server === undefined) await close()
  else process.send?.({ url: server.url })
  return service
}
