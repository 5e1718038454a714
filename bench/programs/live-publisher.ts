/**
 * How messages are published, each 200 bytes: to a peer by HTTP, one POST for each on a connection that stays open; to Lockstep by a real service
 * of this process, whose bridge hears of them through a broker.
 */
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { openEmbeddedBroker } from 'lockstep/broker'
import { createPages, createTickets } from 'lockstep/live'
import { createMemoryLog, openSqliteLog } from 'lockstep/log'
import { defineResource, openHttpServer, openService } from 'lockstep/service'
import { createPerson, personSchema } from '../harness/people.ts'
import type { LiveBridgeOptions } from './live-bridge.ts'
import type { LockstepHello } from './live-dialect.ts'

export interface Publisher {
  /** The number of the last message. */
  readonly last: number
  /** Publishes so many, without waiting for anything. */
  publish(count: number): void
  close(): Promise<void>
}

const people = 8
/** What the e-mail address of a message is, so that the message has 200 bytes when numbers have four digits. */
const mailChars = 44

function createMail(number: number): string {
  return `${`changed-${number}-`.padEnd(mailChars - 12, 'x')}@example.com`
}

/** Posts to a peer what Lockstep would have published. Several go out together; they are answered in order. */
export async function openHttpPublisher(
  port: number,
  path: string,
  onFailure: (error: Error) => void,
): Promise<Publisher> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await new Promise<void>(resolve => socket.once('connect', resolve))
  socket.on('error', onFailure)
  socket.on('data', (chunk: Buffer) => {
    const text = chunk.toString('latin1')
    if (/HTTP\/1\.1 [^2]/.test(text)) onFailure(new Error(`A message was refused: ${text}`))
  })
  const head = `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\nContent-Length: `
  let last = 0
  return {
    get last() {
      return last
    },
    publish(count) {
      const requests: string[] = []
      for (let index = 0; index < count; index++) {
        last++
        const body = JSON.stringify({
          event: 'modified',
          changes: { email: createMail(last) },
          resource: `/people/person-${last % people}`,
          version: 1 + Math.ceil(last / people),
          time: new Date().toISOString(),
          cause: 'q3f8m2k9w1',
          id: `people:k3f9:${last}`,
        })
        requests.push(`${head}${body.length}\r\n\r\n${body}`)
      }
      socket.write(requests.join(''))
    },
    async close() {
      socket.destroy()
    },
  }
}

export interface ServicePublisher extends Publisher {
  readonly bridge: LiveBridgeOptions
  /** What the tags of so many pages say: the same page, for a user each. */
  createHello(pages: number): Promise<LockstepHello>
}

/** A service as its README shows it; in memory, as the peers are, unless it is given a file. */
export async function openServicePublisher(
  file: string | undefined,
  onFailure: (error: Error) => void,
): Promise<ServicePublisher> {
  const log = file === undefined ? createMemoryLog() : await openSqliteLog({ file })
  const broker = await openEmbeddedBroker({ port: 0 })
  const resource = defineResource('people', { schema: personSchema })
  const service = await openService({ resources: [resource], log, broker })
  const server = await openHttpServer(service, { port: 0 })
  let last = (await service.heads())[0]!.seq
  if (last === 0) {
    for (let number = 0; number < people; number++, last++) {
      await service.transaction(tx => tx.create(resource, createPerson(number)))
    }
  }
  const keys = [{ id: 'bench', secret: randomBytes(32).toString('hex') }]
  const api = `http://127.0.0.1:${server.port}`
  const tickets = createTickets({ keys })
  const pages = createPages({ sources: [{ api, streams: ['people'] }], tickets })
  return {
    bridge: { api, broker: broker.url, keys },
    async createHello(count) {
      const { tag } = await pages.read({ people: '/people' }, { audience: 'user-0' })
      const { marker, follow } = JSON.parse(/>(.*)</.exec(tag)![1]!)
      const users = Array.from({ length: count }, (_, number) => `user-${number}`)
      return { marker, tickets: users.map(audience => tickets.issue({ audience, follow })) }
    },
    get last() {
      return last
    },
    publish(count) {
      for (let index = 0; index < count; index++) {
        last++
        const [id, email] = [`person-${last % people}`, createMail(last)]
        service.transaction(tx => tx.patch(resource, id, { email })).catch(onFailure)
      }
    },
    async close() {
      await server.close(0)
      await service.close()
      await broker.close()
      await log.close()
    },
  }
}
