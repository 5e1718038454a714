/** `kill -9` of a follower with a replica, in the middle of changes: PROTOCOL.md 6.9. */
import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { connect } from '../../src/client/index.ts'
import { openHttpServer } from '../../src/service/http/node.ts'
import { createRandom } from '../support/random.ts'
import { openTestService } from '../support/service.ts'

const folder = mkdtempSync(join(tmpdir(), 'lockstep-replica-kill-'))
after(() => rmSync(folder, { recursive: true }))

interface Held {
  readonly epoch?: string
  readonly seq?: number
  readonly size: number
  readonly status: string
  readonly versions: readonly [string, number][]
}

async function start(api: string, file: string): Promise<{ child: ChildProcess; held: Held }> {
  const child = fork(new URL('../support/follower-process.ts', import.meta.url), {
    env: { ...process.env, API: api, FILE: file },
  })
  const [held] = (await once(child, 'message')) as [Held]
  return { child, held }
}

test('killed at any moment, a follower goes on from a copy that is what it claims', async () => {
  await using service = await openTestService()
  await using server = await openHttpServer(service.service, { port: 0 })
  const random = createRandom(20_26)
  const file = join(folder, 'people.db')
  const ids = Array.from({ length: 20 }, (_, index) => `p${index}`)
  /** What was there after each number: the version of each person who existed. */
  const history: Map<string, number>[] = [new Map()]
  const there = new Map<string, number>()
  let isWriting = true
  const write = async (): Promise<void> => {
    const id = ids[random.below(ids.length)]!
    const method = random.below(5) === 0 ? 'DELETE' : 'PUT'
    const body = method === 'PUT' ? { name: `${id} ${history.length}` } : undefined
    const answer = await service.ask(method, `/people/${id}`, { body })
    if (answer.status >= 300) return
    const version = /\.(\d+)/.exec(answer.headers.get('etag') ?? '')?.[1]
    if (method === 'DELETE') there.delete(id)
    else there.set(id, Number(version))
    history.push(new Map(there))
  }
  const writing = (async () => {
    while (isWriting) {
      await write()
      await new Promise(resolve => setTimeout(resolve, random.below(4)))
    }
  })()
  let restored = 0
  let last = 0
  for (let kills = 0; kills < 6; kills++) {
    const { child, held } = await start(server.url, file)
    if (held.seq !== undefined) {
      restored++
      assert.notEqual(held.status, 'live')
      assert.ok(held.seq >= last, 'the file does not go back')
      last = held.seq
      // Over an event stream the copy is exactly what was there at its position.
      assert.deepEqual(new Map(held.versions), history[held.seq])
    }
    for (let changes = random.below(60); changes > 0; changes--) await once(child, 'message')
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }
  isWriting = false
  await writing
  assert.ok(restored >= 3, `${restored} starts found a copy`)
  await using connection = await connect({ api: server.url })
  const people = connection.follow('/people', { replica: file })
  await people.atLeast((await service.ask('GET', '/people')).headers.get('lockstep-marker')!)
  const versions = [...people.state.keys()].map(id => [id, people.versionOf(id)] as const)
  assert.deepEqual(
    versions,
    [...there].sort(([a], [b]) => (a < b ? -1 : 1)),
  )
})
