import assert from 'node:assert/strict'
import test from 'node:test'
import { namesOf, openScene } from './live-setup.ts'
import { connectEvents, connectSocket, type Frame, hello, messagesOf, PageCopy } from './page-client.ts'

const kinds = [
  ['a WebSocket', connectSocket],
  ['an event stream', connectEvents],
] as const

for (const [kind, connect] of kinds) {
  for (const heard of ['broker', 'events'] as const) {
    test(`a page gets what happened between its rendering and its connection, and then what happens, over ${kind} from ${heard}`, async () => {
      await using scene = await openScene()
      await scene.write('ann')
      const marker = await scene.marker()
      await scene.write('bob', 'cid')
      const { url } = await scene.open({ sources: scene.sources(heard) })
      await using page = await connect(url, hello(['/people'], marker))
      await page.type('live')
      await scene.write('dan')
      assert.deepEqual(namesOf(await page.messages(3)), ['bob', 'cid', 'dan'])
      assert.deepEqual(
        page.frames.map(({ type }) => type),
        ['welcome', 'interval', 'live', 'interval'],
      )
      const copy = new PageCopy(marker)
      for (const frame of page.frames) copy.take(frame)
      assert.equal(copy.marker, await scene.marker())
    })
  }
}

test('a page sees what lies under its paths, whole or narrowed to fields, and several streams on one connection', async () => {
  await using scene = await openScene()
  const { url } = await scene.open()
  const follow = [
    '/people/ann',
    { path: '/projects', fields: ['title'] },
    { path: '/people/bob', fields: ['name'] },
  ]
  await using page = await connectSocket(url, hello(follow, '', { from: 'now' }))
  await page.find(frame => frame.type === 'live' && frame['stream'] === 'people')
  await page.find(frame => frame.type === 'live' && frame['stream'] === 'projects')
  await scene.write('cid', 'ann', 'bob')
  await scene.service.ask('PATCH', '/people/bob', { body: { email: 'bob@example.com' } })
  await scene.service.ask('PATCH', '/people/bob', { body: { name: 'Robert' } })
  await scene.service.ask('POST', '/projects', { body: { id: 'atlas', title: 'Atlas' } })
  await page.messages(4)
  const told = messagesOf(page.frames).map(({ resource, state, changes }) => [resource, changes ?? state])
  const people = told.filter(([resource]) => String(resource).startsWith('/people'))
  assert.deepEqual(
    [Object.keys(people[0]![1] as object), people.slice(1)],
    [
      ['id', 'name', 'age'],
      [
        ['/people/bob', { id: 'bob', name: 'bob' }],
        ['/people/bob', { name: 'Robert' }],
      ],
    ],
  )
  assert.deepEqual(told.at(-1), ['/projects/atlas', { id: 'atlas', title: 'Atlas' }])
})

test('a page older than the backlog is brought from the feed, and one older than the log is told to refresh once', async () => {
  await using scene = await openScene()
  await scene.write('ann')
  const marker = await scene.marker()
  const names = Array.from({ length: 30 }, (_, index) => `p${index}`)
  await scene.write(...names)
  const { url, bridge } = await scene.open({ limits: { backlogMessages: 4, warmMessages: 2 } })
  await using page = await connectSocket(url, hello(['/people'], marker))
  await page.type('live')
  assert.deepEqual(namesOf(messagesOf(page.frames)), names)
  assert.equal(bridge.counters.fills, 1)
  await using far = await scene.open({ limits: { backlogMessages: 4, warmMessages: 2, maxReplay: 10 } })
  await using other = await connectSocket(far.url, hello(['/people'], marker))
  const refresh = await other.type('refresh')
  assert.deepEqual([refresh['reason'], refresh['marker']], ['too-far', await scene.marker()])
  other.send(hello(['/people'], String(refresh['marker'])))
  await other.type('live')
})

test('a page whose marker the log has forgotten is told so, with where the stream is', async () => {
  await using scene = await openScene()
  await scene.write('ann', 'bob')
  const [stream, epoch] = (await scene.marker()).split(':')
  const { url: before } = await scene.open()
  await scene.service.log.prune({ maxRows: 1, minRows: 1 })
  const { url: after } = await scene.open()
  // The backlog reaches as far back as the bridge has lived, whatever the log keeps.
  await using page = await connectSocket(before, hello(['/people'], `${stream}:${epoch}:0`))
  assert.deepEqual(namesOf(await page.messages(2)), ['ann', 'bob'])
  await using other = await connectSocket(after, hello(['/people'], `${stream}:${epoch}:0`))
  const refresh = await other.type('refresh')
  assert.deepEqual([refresh['reason'], refresh['marker']], ['gone', await scene.marker()])
})

test('without a position a page is told so, unless it wants what comes from now on; the marker of another epoch is refused', async () => {
  await using scene = await openScene()
  await scene.write('ann')
  const { url } = await scene.open()
  await using unmarked = await connectSocket(url, hello(['/people']))
  assert.equal((await unmarked.type('refresh'))['reason'], 'unmarked')
  await using old = await connectSocket(url, hello(['/people'], 'people:old:1'))
  assert.equal((await old.type('refresh'))['reason'], 'epoch')
  await using fresh = await connectSocket(url, hello(['/people'], '', { from: 'now' }))
  await fresh.type('live')
  const first = await fresh.type('interval')
  assert.deepEqual([first['after'], first['to'], first['messages']], [1, 1, []])
})

test('a page ahead of its bridge is held and gets nothing older; one ahead of the API begins anew', async () => {
  await using scene = await openScene()
  await scene.write('ann')
  // This one hears nothing more from the broker, and asks the feed only where a page makes it.
  const { url } = await scene.open({ limits: { holdMs: 50 } })
  scene.hub.stop()
  const { bridge } = await scene.open()
  await scene.write('bob')
  const ahead = await scene.marker()
  await using page = await connectSocket(url, hello(['/people'], ahead))
  await page.type('live')
  assert.deepEqual(messagesOf(page.frames), [])
  const [stream, epoch] = ahead.split(':')
  await using liar = await connectSocket(url, hello(['/people'], `${stream}:${epoch}:999`))
  assert.equal((await liar.type('refresh'))['reason'], 'ahead')
  assert.equal(bridge.health().streams['people']?.epoch, epoch)
  const held = liar.frames.findIndex(({ type }) => type === 'hold')
  assert.ok(held > 0 && liar.frames[held]!['reason'] === 'behind')
})

test('a page goes on with another instance, and with one that was started anew, from the marker that it has reached', async () => {
  await using scene = await openScene()
  await scene.write('ann')
  const marker = await scene.marker()
  const copy = new PageCopy(marker)
  const one = await scene.open()
  const two = await scene.open({ sources: scene.sources('events') })
  const visit = async (url: string, ...names: readonly string[]): Promise<readonly Frame[]> => {
    await using page = await connectSocket(url, hello(['/people'], copy.marker))
    await page.type('live')
    await scene.write(...names)
    const last = await scene.marker()
    await page.find(frame => frame.type === 'interval' && `people:${frame['epoch']}:${frame['to']}` === last)
    for (const frame of page.frames) copy.take(frame)
    return page.frames
  }
  await visit(one.url, 'bob')
  await scene.write('cid')
  await visit(two.url, 'dan')
  await one.close()
  await scene.write('eve')
  const three = await scene.open()
  await visit(three.url, 'fay')
  assert.deepEqual(copy.refreshes, [])
  assert.deepEqual(
    Object.keys(copy.states),
    ['bob', 'cid', 'dan', 'eve', 'fay'].map(name => `/people/${name}`),
  )
})

test('what the broker loses comes from the feed, and nothing is told out of order', async () => {
  await using scene = await openScene()
  await scene.write('ann')
  const marker = await scene.marker()
  const { url, bridge } = await scene.open()
  await using page = await connectSocket(url, hello(['/people'], marker))
  await page.type('live')
  scene.hub.stop()
  await scene.write('bob', 'cid')
  scene.hub.start()
  await scene.write('dan')
  assert.deepEqual(namesOf(await page.messages(3)), ['bob', 'cid', 'dan'])
  const copy = new PageCopy(marker)
  for (const frame of page.frames) copy.take(frame)
  assert.ok(bridge.health().streams['people']!.seq === 4)
})

test('a head alone makes the bridge look for what the broker never brought', async () => {
  await using scene = await openScene()
  const broker = scene.hub.connect()
  const subscribe = broker.subscribe.bind(broker)
  broker.subscribe = (filters, listener) =>
    subscribe(filters, delivery => {
      if (delivery.topic.startsWith('lockstep/head/')) listener(delivery)
    })
  const { url } = await scene.open({ sources: [{ api: scene.service.service, streams: ['people'], broker }] })
  await using page = await connectSocket(url, hello(['/people'], await scene.marker()))
  await page.type('live')
  await scene.write('ann')
  assert.deepEqual(namesOf(await page.messages(1)), ['ann'])
})

test('changes that come together are told together, and once', async () => {
  await using scene = await openScene()
  const { url, bridge } = await scene.open()
  await using page = await connectSocket(url, hello(['/people', '/people/p1'], '', { from: 'now' }))
  await page.type('live')
  const sends = bridge.counters.sends
  await scene.service.service.transaction(async tx => {
    const { people } = await import('../support/service.ts')
    for (let index = 0; index < 50; index++) await tx.put(people, `p${index}`, { name: 'x' })
  })
  await page.messages(50)
  assert.equal(messagesOf(page.frames).length, 50)
  assert.ok(bridge.counters.sends - sends <= 5, `${bridge.counters.sends - sends} sends`)
})

test('a bridge that loses its source says so, and says when it is back', async () => {
  await using scene = await openScene()
  let isDown = false
  const fetch = async (request: Request): Promise<Response> => {
    if (isDown) throw new TypeError('fetch failed')
    return await scene.service.service.fetch(request)
  }
  const hub = scene.hub
  const { url, bridge, reports } = await scene.open({
    sources: [{ api: { fetch }, streams: ['people'], broker: hub.connect() }],
    staleAfterMs: 600,
  })
  await using page = await connectSocket(url, hello(['/people'], await scene.marker()))
  await page.type('live')
  isDown = true
  hub.stop()
  const hold = await page.type('hold')
  assert.equal(hold['reason'], 'source')
  assert.equal(bridge.health().isLive, false)
  assert.equal((await reports.stage('live people')).code, 'api-unreachable')
  await scene.write('ann')
  isDown = false
  hub.start()
  await page.find(frame => frame.type === 'live', page.frames.indexOf(hold))
  assert.deepEqual(namesOf(await page.messages(1)), ['ann'])
  assert.equal(bridge.health().isLive, true)
})

test('pages that come back together cost one read of the feed', async () => {
  await using scene = await openScene()
  await scene.write('ann')
  const marker = await scene.marker()
  await scene.write(...Array.from({ length: 20 }, (_, index) => `p${index}`))
  const { url, bridge } = await scene.open({ limits: { warmMessages: 0, backlogMessages: 2 } })
  const reads = bridge.counters.feedReads
  const pages = await Promise.all(
    Array.from({ length: 100 }, () => connectSocket(url, hello(['/people'], marker))),
  )
  for (const page of pages) assert.equal((await page.messages(20)).length, 20)
  assert.equal(bridge.counters.fills, 100)
  // One for the pages; the bridge itself looks once or twice whether there is more.
  assert.ok(bridge.counters.feedReads - reads <= 3, `${bridge.counters.feedReads - reads} reads`)
  await Promise.all(pages.map(page => page.close()))
  assert.deepEqual(bridge.health().connections, { websocket: 0, events: 0 })
  assert.equal(bridge.health().streams['people']!.views, 0)
})

test('a bridge that closes sends its pages away with a moment to come back at', async () => {
  await using scene = await openScene()
  const one = await scene.open()
  await using page = await connectSocket(one.url, hello(['/people'], '', { from: 'now' }))
  await using other = await connectEvents(one.url, hello(['/people'], '', { from: 'now' }))
  await page.type('live')
  await other.type('live')
  await one.close()
  assert.deepEqual(await page.ended, { status: 1012, code: 'closed' })
  await other.ended
  for (const { frames } of [page, other]) {
    const close = frames.at(-1)!
    assert.deepEqual([close.type, close['status'], close['code']], ['close', 1012, 'closed'])
    assert.equal(typeof close['retryAfterMs'], 'number')
  }
})
