/**
 * A Lockstep service as its README shows it, with its defaults: checked by JSON Schema, each write with its change
 * in one durable transaction, published by the relay where there is a broker.
 */
import { type Broker, connectMqtt, openEmbeddedBroker } from 'lockstep/broker'
import { openSqliteLog } from 'lockstep/log'
import { defineResource, openHttpServer, openService } from 'lockstep/service'
import { createPerson, personSchema } from '../harness/people.ts'
import { runProgram } from '../harness/program.ts'

export interface ServiceProgramOptions {
  readonly file: string
  readonly people: number
  /** `embedded`, the URL of one, or none. */
  readonly broker?: string
}

export interface ServiceProgramReady {
  readonly port: number
  readonly brokerUrl: string | undefined
}

runProgram<ServiceProgramOptions>(async options => {
  const log = await openSqliteLog({ file: options.file })
  const people = defineResource('people', { schema: personSchema })
  const { broker, url } = await openBroker(options.broker)
  const service = await openService({ resources: [people], log, broker })
  await service.transaction(async tx => {
    for (let number = 0; number < options.people; number++) await tx.create(people, createPerson(number))
  })
  const server = await openHttpServer(service, { port: 0 })
  const ready: ServiceProgramReady = { port: server.port, brokerUrl: url }
  return {
    ready,
    commands: {
      relayLag: async () => (await service.relayLag())['people'] ?? 0,
      head: async () => (await service.heads())[0]!.seq,
    },
    async close() {
      await server.close(0)
      await service.close()
      await broker?.close()
      await log.close()
    },
  }
})

async function openBroker(address: string | undefined): Promise<{ broker?: Broker; url?: string }> {
  if (address === undefined) return {}
  if (address !== 'embedded') return { broker: await connectMqtt(address), url: address }
  const broker = await openEmbeddedBroker({ port: 0 })
  return { broker, url: broker.url }
}
