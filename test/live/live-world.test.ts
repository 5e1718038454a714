/** Pages in a world that goes wrong: brokers stop, bridges are killed, connections are cut, histories begin anew. In the end each page shows what the API has. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { Json, JsonObject } from '../../src/contract/index.ts'
import { createPages, type Follow } from '../../src/live/index.ts'
import { pickFields } from '../../src/live/projection.ts'
import { readFollows, visibleOf } from '../../src/live/view.ts'
import { createRandom, type Random } from '../support/random.ts'
import { type OpenedBridge, openScene, type Scene } from './live-setup.ts'
import {
  connectEvents,
  connectSocket,
  type Frame,
  hello,
  type PageConnection,
  PageCopy,
} from './page-client.ts'

/** A page that lives through it: cut off, it comes back by its marker; told to refresh, it takes new baselines. */
class WorldPage {
  readonly follow: readonly Follow[]
  readonly #scene: Scene
  #copy = new PageCopy('')
  #connection: PageConnection | undefined
  #taken = 0

  constructor(scene: Scene, follow: readonly Follow[]) {
    this.#scene = scene
    this.follow = readFollows(follow as unknown as Json)
  }

  /** Reads baselines and their marker, as the server of the page does. */
  async render(): Promise<void> {
    const pages = createPages({ sources: this.#scene.sources() })
    const wanted = Object.fromEntries(this.follow.map((entry, index) => [`n${index}`, entry]))
    const { tag } = await pages.read(wanted)
    const { marker, held } = JSON.parse(/>(.*)</.exec(tag)![1]!)
    this.#copy = new PageCopy(marker)
    for (const [path, entry] of Object.entries(held)) this.#copy.held.set(path, entry as never)
  }

  async connect(bridge: OpenedBridge, random: Random): Promise<void> {
    await this.cut()
    const connect = random.below(3) === 0 ? connectEvents : connectSocket
    this.#taken = 0
    this.#connection = await connect(bridge.url, hello(this.follow as never, this.#copy.marker))
  }

  async cut(): Promise<void> {
    const connection = this.#connection
    this.#connection = undefined
    if (connection === undefined) return
    // What had arrived counts, what had not is lost.
    this.#take(connection)
    await connection.close()
  }

  /** Waits until it is live at the end of the stream, through as many refreshes as it takes. */
  async settle(bridge: OpenedBridge, random: Random, end: string): Promise<void> {
    for (;;) {
      if (this.#connection === undefined) await this.connect(bridge, random)
      const connection = this.#connection!
      const isThere = this.#copy.marker === end
      const isDone = (frame: Frame): boolean => isAt(frame, end) || (isThere && frame.type === 'live')
      const found = await connection.find(frame => frame.type === 'refresh' || isDone(frame), this.#taken)
      this.#take(connection)
      if (found.type !== 'refresh') return
      await this.cut()
      await this.render()
    }
  }

  #take({ frames }: PageConnection): void {
    for (const frame of frames.slice(this.#taken)) this.#copy.take(frame)
    this.#taken = frames.length
  }

  get states(): Record<string, Json> {
    return this.#copy.states
  }

  /** What the API has of what the page follows. */
  async expected(): Promise<Record<string, Json>> {
    const { json } = await this.#scene.service.ask('GET', '/people?limit=1000')
    const states = (json as JsonObject[]).flatMap((state): [string, Json][] => {
      const visible = visibleOf(this.follow, `/people/${state['id']}`)
      return visible === undefined ? [] : [[`/people/${state['id']}`, pickFields(state, visible)]]
    })
    return Object.fromEntries(states.sort())
  }
}

/** An interval up to the end. */
function isAt(frame: Frame, end: string): boolean {
  return frame.type === 'interval' && `people:${frame['epoch']}:${frame['to']}` === end
}

async function change({ service }: Scene, random: Random): Promise<void> {
  const path = `/people/p${random.below(4)}`
  const kind = random.below(6)
  if (kind === 0) await service.ask('DELETE', path)
  else if (kind === 1)
    await service.ask('PUT', path, { body: { name: `n${random.below(9)}`, age: random.below(99) } })
  else {
    const body = kind === 2 ? { name: `n${random.below(99)}` } : { age: random.below(99) }
    const { status } = await service.ask('PATCH', path, { body })
    if (status !== 200) await service.ask('PUT', path, { body: { name: 'new', ...body } })
  }
}

for (let seed = 1; seed <= 12; seed++) {
  test(`each page ends as the API is, with seed ${seed}`, async () => {
    const random = createRandom(seed)
    await using scene = await openScene()
    const limits = {
      backlogMessages: 1 + random.below(20),
      warmMessages: random.below(5),
      maxReplay: 40,
      holdMs: 50,
      conflateFrom: 100,
    }
    const start = (kind: 'broker' | 'events'): Promise<OpenedBridge> =>
      scene.open({ sources: scene.sources(kind), limits })
    const bridges = [await start('broker'), await start('events')]
    const pages = [
      new WorldPage(scene, [{ path: '/people' }]),
      new WorldPage(scene, [{ path: '/people', fields: ['name'] }]),
      new WorldPage(scene, [{ path: '/people/p1' }, { path: '/people/p2', fields: ['age'] }]),
    ]
    for (const page of pages) await page.render()
    for (let step = 0; step < 60; step++) {
      const page = pages[random.below(pages.length)]!
      const which = random.below(2)
      const event = random.below(20)
      if (event < 10) await change(scene, random)
      else if (event < 14) await page.connect(bridges[which]!, random)
      else if (event === 14) await page.cut()
      else if (event === 15) await page.cut().then(() => page.render())
      else if (event === 16) scene.hub.stop()
      else if (event === 17) scene.hub.start()
      else if (event === 18 && step % 3 === 0) await scene.service.log.renewEpoch('people')
      else if (event === 19) {
        for (const other of pages) await other.cut()
        await bridges[which]!.close()
        bridges[which] = await start(which === 0 ? 'broker' : 'events')
      }
      if (random.below(3) === 0) await turn()
    }
    scene.hub.start()
    // The last change is one that every page may see.
    for (const name of ['p1', 'p2']) await scene.write(name)
    const end = await scene.marker()
    for (const page of pages) {
      await page.cut()
      await page.settle(bridges[random.below(2)]!, random, end)
      assert.deepEqual(page.states, await page.expected(), JSON.stringify(page.follow))
    }
  })
}
