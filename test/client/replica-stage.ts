/** A service with three people, and followers of it that keep their copy in a file. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { createMemoryHub, type MemoryHub } from '../../src/broker/memory.ts'
import { type Connection, type ConnectOptions, connect } from '../../src/client/connection.ts'
import type { CollectionFollower, Follower } from '../../src/client/follower.ts'
import type { ReplicaOptions } from '../../src/client/replica.ts'
import { isLockstepError, type JsonObject } from '../../src/contract/index.ts'
import { Reports } from '../support/reports.ts'
import { openTestService, type TestService } from '../support/service.ts'

export const folder: string = mkdtempSync(join(tmpdir(), 'lockstep-replica-'))
after(() => rmSync(folder, { recursive: true }))
let files = 0
export const newFile = (): string => join(folder, `${++files}`, 'copy.db')

export interface Stage extends AsyncDisposable {
  readonly service: TestService
  readonly reports: Reports
  readonly requests: string[]
  isDown: boolean
  /** A connection of its own, as of another process. */
  connect(api?: string, options?: Partial<ConnectOptions>): Promise<Connection>
  write(method: string, id: string, body?: object): Promise<string>
}

export async function open({ logKind = 'memory' as 'memory' | 'sqlite' } = {}): Promise<Stage> {
  const hub: MemoryHub = createMemoryHub()
  const service = await openTestService({ broker: hub.connect(), logKind })
  const reports = new Reports()
  const connections: Connection[] = []
  const stage: Stage = {
    service,
    reports,
    requests: [],
    isDown: false,
    async connect(api = 'http://service.test', options = {}) {
      const connection = await connect({
        api,
        broker: hub.connect(),
        topicPrefix: '',
        onError: reports.onError,
        fetch: async (input, init) => {
          const request = new Request(input, init)
          stage.requests.push(new URL(request.url).pathname)
          if (stage.isDown) throw new Error('down')
          return await service.service.fetch(request)
        },
        ...options,
      })
      connections.push(connection)
      return connection
    },
    async write(method, id, body) {
      const path = method === 'POST' ? '/people' : `/people/${id}`
      const answer = await service.ask(method, path, { body })
      assert.ok(answer.status < 300, answer.text)
      return answer.headers.get('lockstep-marker')!
    },
    async [Symbol.asyncDispose]() {
      for (const connection of connections) await connection.close()
      await service[Symbol.asyncDispose]()
    },
  }
  for (const [id, city] of Object.entries({ ann: 'Oslo', bob: 'Rome', eve: 'Oslo' })) {
    await stage.write('POST', id, { id, name: id, address: { city } })
  }
  return stage
}

export async function follow(
  stage: Stage,
  replica: string | ReplicaOptions,
): Promise<{ people: CollectionFollower<JsonObject>; connection: Connection; changes: string[] }> {
  const connection = await stage.connect()
  const people = connection.follow('/people', { replica }) as CollectionFollower<JsonObject>
  const changes: string[] = []
  people.on('change', ({ event, id, version }) => changes.push(`${event} ${id}@${version}`))
  return { people, connection, changes }
}

/** Follows until live, and closes. */
export async function fill(stage: Stage, replica: string | ReplicaOptions): Promise<void> {
  const { people, connection } = await follow(stage, replica)
  await live(people)
  await connection.close()
}

export async function live<T>(follower: Follower<T>): Promise<void> {
  if (follower.status === 'live') return
  await new Promise<void>(resolve => {
    const off = follower.on('status', status => {
      if (status !== 'live') return
      off()
      resolve()
    })
  })
}

export function refusal(action: () => unknown): { code: string; message: string } {
  try {
    action()
  } catch (error) {
    assert.ok(isLockstepError(error), String(error))
    return error
  }
  throw new Error('It was not refused.')
}
