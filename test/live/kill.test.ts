/** A bridge that is killed under load, and a permission that is withdrawn, with pages over both transports. */
import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import test from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { type JsonObject, parseMarker } from '../../src/contract/index.ts'
import { openHttpServer } from '../../src/service/index.ts'
import { openScene } from './live-setup.ts'
import { connectEvents, connectSocket, hello, type PageConnection, PageCopy } from './page-client.ts'

async function startBridge(api: string, port: number): Promise<{ child: ChildProcess; port: number }> {
  const child = fork(new URL('./bridge-process.ts', import.meta.url), {
    env: { ...process.env, API: api, PORT: String(port) },
  })
  const [bound] = (await once(child, 'message')) as [number]
  return { child, port: bound }
}

/** A process takes its time to come up where the machine is busy. */
async function until(condition: () => boolean): Promise<void> {
  for (const deadline = performance.now() + 30_000; !condition(); await setTimeout(5))
    assert.ok(performance.now() < deadline, `it did not come true within 30 s: ${condition}`)
}

/** A page that comes back until `isOver`, with its marker; its copy fails where a change is left out or told twice. */
class ReturningPage {
  readonly copy: PageCopy
  connections = 0
  readonly #connect: typeof connectSocket
  readonly #url: string

  constructor(url: string, marker: string, connect: typeof connectSocket) {
    this.copy = new PageCopy(marker)
    this.#url = url
    this.#connect = connect
  }

  get reached(): number {
    return this.copy.positions.get('people')!.seq
  }

  async run(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const page = await this.#open()
      if (page === undefined) continue
      this.connections++
      let hasEnded = false
      void page.ended.then(() => {
        hasEnded = true
      })
      let taken = 0
      while (!hasEnded && !isOver()) {
        await setTimeout(5)
        while (taken < page.frames.length) this.copy.take(page.frames[taken++]!)
      }
      await page.close()
    }
  }

  async #open(): Promise<PageConnection | undefined> {
    try {
      return await this.#connect(this.#url, hello(['/people'], this.copy.marker))
    } catch {
      // Nobody listens there yet.
      await setTimeout(20)
      return undefined
    }
  }
}

test('pages of a bridge that is killed again and again under load miss nothing and take nothing twice', async () => {
  await using scene = await openScene()
  await using server = await openHttpServer(scene.service.service, { port: 0 })
  let bridge = await startBridge(server.url, 0)
  const { port } = bridge
  const start = await scene.marker()
  const url = `http://127.0.0.1:${port}/live`
  const pages = Array.from(
    { length: 6 },
    (_, index) => new ReturningPage(url, start, index % 2 === 0 ? connectSocket : connectEvents),
  )
  let isOver = false
  let isWriting = true
  const running = pages.map(page => page.run(() => isOver))
  const writing = (async () => {
    for (let count = 0; isWriting; count++) {
      await scene.write(`p${count % 20}`)
      await setTimeout(1)
    }
  })()
  const allMove = async (): Promise<void> => {
    const before = pages.map(({ reached }) => reached)
    await until(() => pages.every(({ reached }, index) => reached > before[index]! + 5))
  }
  for (let kills = 0; kills < 3; kills++) {
    await allMove()
    bridge.child.kill('SIGKILL')
    await once(bridge.child, 'exit')
    bridge = await startBridge(server.url, port)
  }
  await allMove()
  isWriting = false
  await writing
  const [end] = parseMarker(await scene.marker())
  await until(() => pages.every(({ reached }) => reached === end!.seq))
  isOver = true
  await Promise.all(running)
  bridge.child.kill('SIGKILL')
  const { json } = await scene.service.ask('GET', '/people?limit=100')
  const wanted = Object.fromEntries((json as JsonObject[]).map(state => [`/people/${state['id']}`, state]))
  for (const { copy, connections } of pages) {
    assert.deepEqual(copy.states, wanted)
    assert.deepEqual(copy.refreshes, [])
    assert.ok(connections >= 4)
  }
})

test('after a permission is withdrawn nothing more is delivered than for the time of a lease', async t => {
  await using scene = await openScene()
  const leaseMs = 1_500
  let withdrawnAt = Number.POSITIVE_INFINITY
  // From then on there is no answer, the worst case: the lease that stands runs out.
  const authorize = async (): Promise<boolean> => {
    if (performance.now() < withdrawnAt) return true
    return await new Promise(() => {})
  }
  const { url } = await scene.open({ access: { authorize, leaseMs } })
  await using page = await connectSocket(url, hello(['/people'], await scene.marker()))
  await page.type('live')
  withdrawnAt = performance.now()
  let hasEnded = false
  const ended = page.ended.then(() => {
    hasEnded = true
  })
  let [lastAt, written] = [withdrawnAt, 0]
  let taken = page.frames.length
  while (!hasEnded) {
    const writtenAt = performance.now()
    await scene.write(`p${written++ % 5}`)
    await setTimeout(5)
    // What is delivered was written before it, at the earliest then.
    if (page.frames.slice(taken).some(({ type }) => type === 'interval')) lastAt = writtenAt
    taken = page.frames.length
  }
  await ended
  t.diagnostic(`the last delivery came ${Math.round(lastAt - withdrawnAt)} ms after the withdrawal`)
  assert.ok(lastAt > withdrawnAt)
  assert.ok(lastAt - withdrawnAt <= leaseMs, `${lastAt - withdrawnAt} ms`)
})
