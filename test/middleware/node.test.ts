/** A mirror inside of an application of bare `node:http`. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { connect } from '../../src/client/index.ts'
import { createMemoryLog } from '../../src/log/index.ts'
import {
  createMirroredListener,
  type Mirror,
  type MirrorOptions,
  openMirror,
} from '../../src/middleware/index.ts'
import { listen, People, peopleRoutes, type State, send } from '../support/mirrored-app.ts'

interface Mirrored {
  readonly people: People
  readonly mirror: Mirror
  readonly url: string
}

async function openApp(t: TestContext, options: Partial<MirrorOptions> = {}): Promise<Mirrored> {
  const people = new People()
  const routes = peopleRoutes(people)
  const log = createMemoryLog()
  const mirror = await openMirror({
    resources: { people: {} },
    log,
    listener: (request, response) => routes(request, response),
    ...options,
  })
  t.after(async () => {
    await mirror.close()
    await log.close()
  })
  const url = await listen(t, createMirroredListener(mirror, routes))
  return { people, mirror, url }
}

async function readChanges(
  url: string,
): Promise<{ event: string; resource: string; state?: State; version: number; cause: string }[]> {
  const page = await fetch(`${url}/_mirror/people/_changes`)
  assert.equal(page.status, 200, await page.clone().text())
  return ((await page.json()) as { changes: [] }).changes
}

for (const answers of ['read', 'whole'] as const) {
  test(`each write of an existing route is one change, with the answer's marker and tag (${answers})`, async t => {
    const { mirror, url } = await openApp(t, { resources: { people: { answers } } })
    await mirror.start()
    const created = await send('POST', `${url}/people`, { name: 'Ann' }, { 'x-request-id': 'first' })
    assert.equal(created.status, 201)
    assert.deepEqual(await created.json(), { id: '1', name: 'Ann' })
    assert.equal(created.headers.get('location'), '/people/1')
    assert.equal(created.headers.get('lockstep-topic'), 'people/1')
    assert.equal(created.headers.get('link'), '</_mirror/people/_changes>; rel="changes"')
    assert.match(created.headers.get('lockstep-marker')!, /^people:\w+:1$/)
    assert.match(created.headers.get('etag')!, /^"\w+\.1"$/)
    const patched = await send('PATCH', `${url}/people/1`, { name: 'Anna' })
    assert.match(patched.headers.get('etag')!, /^"\w+\.2"$/)
    assert.match(patched.headers.get('lockstep-marker')!, /:2$/)
    const put = await send('PUT', `${url}/people/bob`, { name: 'Bob' })
    assert.match(put.headers.get('lockstep-marker')!, /:3$/)
    const refused = await send('PATCH', `${url}/people/1`, { name: 42 })
    assert.equal(refused.status, 422)
    const removed = await send('DELETE', `${url}/people/1`)
    assert.equal(removed.status, 204)
    assert.match(removed.headers.get('lockstep-marker')!, /:4$/)
    const changes = await readChanges(url)
    assert.deepEqual(
      changes.map(({ event, resource, version }) => `${event} ${resource} ${version}`),
      ['created /people/1 1', 'modified /people/1 2', 'created /people/bob 1', 'deleted /people/1 3'],
    )
    assert.equal(changes[0]!.cause, 'first')
  })
}

test('a GET carries the tag of the version whose state it shows, and 304 comes of it', async t => {
  const { people, mirror, url } = await openApp(t)
  await mirror.start()
  await send('PUT', `${url}/people/ann`, { name: 'Ann' })
  const read = await fetch(`${url}/people/ann`)
  const tag = read.headers.get('etag')!
  assert.match(tag, /^"\w+\.1"$/)
  assert.match(read.headers.get('lockstep-marker')!, /:1$/)
  for (let times = 0; times < 2; times++) {
    const again = await fetch(`${url}/people/ann`, { headers: { 'if-none-match': tag } })
    assert.equal(again.status, 304)
    assert.equal(await again.text(), '')
  }
  people.rows.set('ann', { id: 'ann', name: 'changed behind the back' })
  const other = await fetch(`${url}/people/ann`, { headers: { 'if-none-match': tag } })
  assert.equal(other.status, 200)
  assert.equal(other.headers.get('etag'), null)
})

test('what overlaps on one resource ends in one observation, of what is there then', async t => {
  for (const answers of ['read', 'whole'] as const) {
    const { people, mirror, url } = await openApp(t, { resources: { people: { answers } } })
    await mirror.start()
    await send('PUT', `${url}/people/ann`, { name: 'Ann' })
    const pause = Promise.withResolvers<void>()
    people.pause = pause.promise
    const writes = Array.from({ length: 10 }, (_, n) => send('PUT', `${url}/people/ann`, { n }))
    while (people.writes < 11) await new Promise(setImmediate)
    pause.resolve()
    await Promise.all(writes)
    await mirror.settled()
    assert.equal((await readChanges(url)).length, 2)
    const shown = await (await fetch(`${url}/_mirror/people/ann`)).json()
    assert.deepEqual(shown, people.rows.get('ann'))
  }
})

test('a follower of the mirror shows what the application has, also what was there before and what went round the routes', async t => {
  const { people, mirror, url } = await openApp(t)
  people.rows.set('old', { id: 'old', name: 'Old' })
  const early = await fetch(`${url}/_mirror/people`)
  assert.equal(early.status, 503)
  await mirror.start()
  const api = await connect({ api: `${url}/_mirror` })
  t.after(() => api.close())
  const follower = api.follow('/people')
  await follower.ready
  assert.deepEqual([...follower.state.values()], [{ id: 'old', name: 'Old' }])
  await send('POST', `${url}/people`, { name: 'New' })
  people.rows.delete('old')
  people.rows.set('round', { id: 'round' })
  assert.equal(await mirror.scan(), true)
  await mirror.settled()
  const marker = (await fetch(`${url}/people/round`)).headers.get('lockstep-marker')!
  await follower.atLeast(marker)
  assert.deepEqual([...follower.state.keys()].sort(), ['1', 'round'])
})

test('what a handler does without an answer is looked at: an error, and a client that left', async t => {
  const { people, mirror, url } = await openApp(t)
  await mirror.start()
  const pause = Promise.withResolvers<void>()
  people.pause = pause.promise
  const leaving = new AbortController()
  const left = fetch(`${url}/people/ann`, { method: 'PUT', body: '{"name":"Ann"}', signal: leaving.signal })
  while (!people.rows.has('ann')) await new Promise(setImmediate)
  leaving.abort()
  await assert.rejects(left)
  while ((await readChanges(url)).length === 0) await new Promise(resolve => setTimeout(resolve, 10))
  pause.resolve()
  assert.deepEqual(
    (await readChanges(url)).map(({ event }) => event),
    ['created'],
  )
})
