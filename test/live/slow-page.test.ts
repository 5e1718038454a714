import assert from 'node:assert/strict'
import test from 'node:test'
import { people } from '../support/service.ts'
import { openScene, type Scene } from './live-setup.ts'
import { connectSocket, hello, messagesOf, PageCopy } from './page-client.ts'

/** Writes many large changes of few resources, in transactions, so that they come in bursts. */
async function flood(scene: Scene, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    await scene.service.service.transaction(async tx => {
      for (let index = 0; index < 20; index++) {
        await tx.put(people, `p${index % 5}`, { name: `${round}-${index} ${'x'.repeat(5_000)}` })
      }
    })
    // Lets the sockets have their turn, as a network does.
    await new Promise(setImmediate)
  }
}

test('a page that takes nothing for a while gets less, never something wrong, and costs the others nothing', async () => {
  await using scene = await openScene()
  const { url, bridge } = await scene.open({ limits: { maxQueuedBytes: 2_000_000 } })
  const marker = await scene.marker()
  await using slow = await connectSocket(url, hello(['/people'], marker))
  await using other = await connectSocket(url, hello(['/people'], marker))
  await slow.type('live')
  await other.type('live')
  slow.socket!.pause()
  await flood(scene, 160)
  const end = await scene.marker()
  const isEnd = (frame: { readonly [name: string]: unknown }): boolean =>
    frame['type'] === 'interval' && `people:${frame['epoch']}:${frame['to']}` === end
  await other.find(isEnd)
  assert.equal(bridge.counters.slow, 1)
  const before = slow.frames.length
  slow.socket!.resume()
  await slow.find(isEnd)
  const copies = [slow, other].map(({ frames }) => {
    const copy = new PageCopy(marker)
    for (const frame of frames) copy.take(frame)
    return copy
  })
  assert.deepEqual(copies[0]!.states, copies[1]!.states)
  assert.deepEqual(copies[0]!.refreshes, [])
  assert.ok(slow.frames.slice(before).some(frame => frame['conflated'] === true))
  assert.ok(messagesOf(slow.frames).length < messagesOf(other.frames).length)
})

test('a page that takes nothing for too long is sent away, and goes on with its marker', async () => {
  await using scene = await openScene()
  const { url, bridge } = await scene.open({ limits: { maxQueuedBytes: 200_000, slowMs: 1 } })
  const marker = await scene.marker()
  const page = await connectSocket(url, hello(['/people'], marker))
  await page.type('live')
  page.socket!.pause()
  await flood(scene, 130)
  while (bridge.health().connections.websocket > 0) await new Promise(resolve => setTimeout(resolve, 20))
  assert.equal(bridge.counters.closed['too-slow'], 1)
  page.socket!.resume()
  await page.ended
  const copy = new PageCopy(marker)
  for (const frame of page.frames) copy.take(frame)
  await using again = await connectSocket(url, hello(['/people'], copy.marker))
  await again.type('live')
  for (const frame of again.frames) copy.take(frame)
  assert.equal(copy.marker, await scene.marker())
  const { json } = await scene.service.ask('GET', '/people?limit=100')
  assert.deepEqual(Object.values(copy.states), json)
})
