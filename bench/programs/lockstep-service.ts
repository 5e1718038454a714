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
  await inParts(options.people, (from, to) =>
    service.transaction(async tx => {
      for (let number = from; number < to; number++) await tx.create(people, createPerson(number))
    }),
  )
  let changed = 0
  const server = await openHttpServer(service, { port: 0 })
  const ready: ServiceProgramReady = { port: server.port, brokerUrl: url }
  return {
    ready,
    commands: {
      relayLag: async () => (await service.relayLag())['people'] ?? 0,
      head: async () => (await service.heads())[0]!.seq,
      /** Changes the people one after another, `count` times in all. */
      change: ({ count }: { count: number }) =>
        inParts(count, (from, to) =>
          service.transaction(async tx => {
            for (let index = from; index < to; index++, changed++) {
              const patch = { email: `changed-${changed}@mail.example.com` }
              await tx.patch(people, `person-${changed % options.people}`, patch)
            }
          }),
        ),
    },
    async close() {
      await server.close(0)
      await service.close()
      await broker?.close()
      await log.close()
    },
  }
})

const perTransaction = 500

async function inParts(count: number, run: (from: number, to: number) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < count; from += perTransaction) {
    await run(from, Math.min(count, from + perTransaction))
  }
}

async function openBroker(address: string | undefined): Promise<{ broker?: Broker; url?: string }> {
  if (address === undefined) return {}
  if (address !== 'embedded') return { broker: await connectMqtt(address), url: address }
  const broker = await openEmbeddedBroker({ port: 0 })
  return { broker, url: broker.url }
}
