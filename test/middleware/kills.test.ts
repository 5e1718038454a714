/** A mirrored application that is killed: between its commit and the log, and at any other moment. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connect } from '../../src/client/index.ts'
import { send } from '../support/mirrored-app.ts'
import { createRandom } from '../support/random.ts'
import { type RestartableProcess, startRestartable } from '../support/restartable-process.ts'

interface Row {
  readonly id: string
  readonly value: string
}

async function startApp(
  t: TestContext,
  env: Record<string, string> = {},
): Promise<{ app: RestartableProcess; url: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-mirrored-'))
  const program = new URL('../support/mirrored-process.ts', import.meta.url)
  const app = await startRestartable(program, { FOLDER: folder, PORT: '0', ...env })
  t.after(async () => {
    await app.kill()
    await rm(folder, { recursive: true, force: true })
  })
  return { app, url: `http://127.0.0.1:${app.port}` }
}

async function readRows(url: string): Promise<Map<string, string>> {
  const rows = (await (await fetch(url)).json()) as Row[]
  return new Map(rows.map(({ id, value }) => [id, value]))
}

test('what was committed when the application was killed is in the log after its start', async t => {
  const { app, url } = await startApp(t)
  await send('PUT', `${url}/people/ann`, { value: 'first' })
  for (const when of ['before', 'after', 'recorded']) {
    await assert.rejects(send('PUT', `${url}/people/ann`, { value: when }, { 'x-die': when }))
    await app.kill()
    await app.start()
    const own = await readRows(`${url}/people`)
    assert.deepEqual([...own], [['ann', when === 'before' ? 'first' : when]])
    assert.deepEqual(await readRows(`${url}/_mirror/people`), own)
  }
  const { changes } = (await (await fetch(`${url}/_mirror/people/_changes`)).json()) as {
    changes: { version: number }[]
  }
  assert.deepEqual(
    changes.map(({ version }) => version),
    [1, 2, 3],
  )
})

for (const answers of ['read', 'whole']) {
  test(`through kills at any moment a follower ends with what the application has (${answers})`, async t => {
    const random = createRandom(7)
    const { app, url } = await startApp(t, { ANSWERS: answers })
    const api = await connect<{ people: Row }>({ api: `${url}/_mirror`, onError: () => {} })
    t.after(() => api.close())
    const follower = api.follow('/people')
    await follower.ready
    const shown: string[] = []
    follower.on('change', () => {
      for (const [id, { value }] of follower.state) shown.push(`${id}=${value}`)
    })
    const written = new Set<string>()
    let count = 0
    const writeOne = async (): Promise<void> => {
      const id = `p${random.below(6)}`
      const value = String(++count)
      written.add(`${id}=${value}`)
      if (random.below(5) === 0) await send('DELETE', `${url}/people/${id}`)
      else await send('PUT', `${url}/people/${id}`, { value })
    }
    for (let round = 0; round < 2; round++) {
      const killAfter = 40 + random.below(80)
      let done = 0
      let killed: Promise<void> | undefined
      const client = async (): Promise<void> => {
        while (done < killAfter) {
          await writeOne()
          done++
        }
        // The others are in the middle of a request.
        killed ??= app.kill()
        await killed
      }
      await Promise.allSettled(Array.from({ length: 16 }, client))
      await app.start()
    }
    const last = await send('PUT', `${url}/people/last`, { value: 'last' })
    await follower.atLeast(last.headers.get('lockstep-marker')!)
    written.add('last=last')
    const own = await readRows(`${url}/people`)
    const followed = [...follower.state].map(([id, { value }]) => [id, value] as const)
    assert.deepEqual(followed.sort(), [...own].sort())
    assert.deepEqual(
      shown.filter(each => !written.has(each)),
      [],
    )
  })
}
