import assert from 'node:assert/strict'
import test from 'node:test'
import type { FollowerEvent } from '../../src/client/follower-data.ts'
import { followerLimits as limits } from '../../src/client/follower-limits.ts'
import { nextTick } from '../../src/client/follower-machine.ts'
import { LockstepError } from '../../src/contract/index.ts'
import { message, reset, Scene, type SceneOptions } from './scene.ts'

const unreachable = new LockstepError('api-unreachable', 'down')
const refused = new LockstepError('api-refused', 'no')
const gone = new LockstepError('position-gone', 'gone')

/** A live follower of a collection that holds a@1 and b@1 at e1:2. */
function live(options: SceneOptions = {}): Scene {
  const scene = new Scene(options).hear({ type: 'start', listenFirst: true }, { type: 'source-up' })
  scene.items('e1:2', { a: [1], b: [1] })
  assert.equal(scene.status, 'live')
  scene.take()
  return scene
}

/** A live follower of /people/a that holds version 1 at e1:1. */
function liveResource(): Scene {
  const scene = new Scene({ path: '/people/a' })
  scene.hear({ type: 'start', listenFirst: true }, { type: 'source-up' })
  scene.resource({ found: 'whole', epoch: 'e1', seq: 1, version: 1, state: { id: 'a', v: 1 } })
  assert.equal(scene.status, 'live')
  scene.take()
  return scene
}

/** A live follower of a collection over an event stream, at e1:2. */
function liveStream(): Scene {
  const scene = new Scene({ isOrdered: true }).hear({ type: 'start', listenFirst: true })
  scene.items('e1:2', { a: [1], b: [1] }).hear({ type: 'source-up' })
  scene.push(2, 2, [], 2)
  assert.equal(scene.status, 'live')
  scene.take()
  return scene
}

/** Took a baseline without its source, which is up again since: what it did not tell will be asked for. */
function backAfterBaseline(): Scene {
  const scene = live().hear({ type: 'source-down' })
  scene.call('refresh')
  scene.items('e1:2', { a: [1], b: [1] }).hear({ type: 'source-up' })
  assert.equal(scene.status, 'catching-up')
  assert.equal(scene.asking, 'nothing')
  scene.take()
  return scene
}

test('where topics are known it hears its source before it takes the baseline', () => {
  const scene = new Scene().hear({ type: 'start', listenFirst: true })
  assert.deepEqual(scene.take(), [{ type: 'listen', after: undefined }])
  scene.hear({ type: 'source-up' })
  assert.equal(scene.asking, 'items')
})

test('a source that does not come up keeps the baseline waiting for one second only', () => {
  const scene = new Scene().hear({ type: 'start', listenFirst: true }).wait(999)
  assert.equal(scene.asking, 'nothing')
  scene.wait(1)
  assert.equal(scene.asking, 'items')
  scene.items('e1:2', { a: [1] }).wait(999)
  assert.equal(scene.status, 'catching-up')
  scene.wait(1)
  assert.equal(scene.status, 'stale')
})

test('a source that comes up after the baseline was asked for is followed by one page of the feed', () => {
  const scene = new Scene().hear({ type: 'start', listenFirst: false })
  scene.hear({ type: 'source-up' }).items('e1:2', { a: [1] })
  assert.deepEqual(scene.asked, { kind: 'feed', epoch: 'e1', after: 2, compact: false })
  assert.equal(scene.status, 'catching-up')
  scene.page(3, 3, [message(3, 'created b@1')])
  assert.equal(scene.status, 'live')
  assert.equal(scene.m.position, 3)
})

test('what comes before the baseline is kept, and taken in after it', () => {
  const scene = new Scene().hear({ type: 'start', listenFirst: true }, { type: 'source-up' })
  scene.message(4, 'created d@1').message(3, 'created c@1').message(2, 'created b@1')
  scene.items('e1:2', { a: [1], b: [1] })
  assert.deepEqual(scene.told(), ['refreshed', 'created c@1', 'created d@1'])
  assert.equal(scene.m.position, 4)
})

test('it applies the next number, and drops what is at or below its position', () => {
  const scene = live()
  scene.message(3, 'modified a@2', { changes: { name: 'Ann' }, cause: 'r1' })
  const [effect] = scene.take()
  assert.deepEqual(effect?.type === 'change' && effect.change, {
    event: 'modified',
    path: '/people/a',
    id: 'a',
    version: 2,
    state: { id: 'a', name: 'Ann' },
    previous: { id: 'a' },
    changes: { name: 'Ann' },
    cause: 'r1',
    position: 'people:e1:3',
  })
  scene.message(3, 'modified a@2', { changes: { name: 'Eve' } }).message(1, 'created a@1')
  assert.deepEqual(scene.take(), [])
})

test('changes below a collection move its position and nothing else', () => {
  const scene = live().message(3, 'created /people/a/friends/x@1').message(4, 'deleted a@2')
  assert.deepEqual(scene.told(), ['deleted a@2'])
  assert.equal(scene.m.position, 4)
})

test('a hole is closed by a late message without asking anyone', () => {
  const scene = live().message(5, 'created e@1').message(4, 'created d@1').wait(249)
  assert.deepEqual(scene.told(), [])
  scene.message(3, 'created c@1')
  assert.deepEqual(scene.told(), ['created c@1', 'created d@1', 'created e@1'])
  assert.equal(scene.wait(1_000).asking, 'nothing')
  assert.equal(scene.status, 'live')
})

test('a hole of 250 ms is filled from the feed', () => {
  const scene = live().message(4, 'created d@1').wait(249)
  assert.equal(scene.status, 'live')
  scene.wait(1)
  assert.equal(scene.status, 'catching-up')
  assert.deepEqual(scene.asked, { kind: 'feed', epoch: 'e1', after: 2, compact: false })
  scene.page(3, 3, [message(3, 'created c@1')])
  assert.deepEqual(scene.told(), ['created c@1', 'created d@1'])
  assert.equal(scene.status, 'live')
})

test('a hundred messages behind a hole are enough to ask at once', () => {
  const scene = live()
  for (let seq = 4; seq < 4 + limits.maxBuffered - 1; seq++) scene.message(seq, `created n${seq}@1`)
  assert.equal(scene.wait(0).asking, 'nothing')
  scene.message(104, 'created last@1').wait(0)
  assert.equal(scene.asking, 'feed')
  scene.message(105, 'created more@1')
  assert.equal(scene.m.buffer.size, limits.maxBuffered)
})

test('a hole that the API knows nothing of is forgotten after three answers', () => {
  const scene = live().message(9, 'created x@1')
  for (let count = 0; count < 3; count++) {
    scene.wait(1_000)
    assert.equal(scene.asking, 'feed')
    scene.page(2, 2)
  }
  assert.equal(scene.m.buffer.size, 0)
  assert.equal(scene.wait(5_000).asking, 'nothing')
})

test('behind a head it asks the feed after a grace, unless the messages come meanwhile', () => {
  const scene = live().head(3).wait(374)
  assert.equal(scene.asking, 'nothing')
  scene.wait(1)
  assert.equal(scene.asking, 'feed')
  const other = live().head(3).wait(200).message(3, 'created c@1').wait(1_000)
  assert.equal(other.asking, 'nothing')
  assert.equal(other.status, 'live')
})

test('a kept head proves that one is behind, and is no sign of life', () => {
  const scene = live().wait(13_000).head(2, { retained: true }).wait(1_000)
  assert.equal(scene.status, 'stale')
  assert.equal(live().head(3, { retained: true }).wait(500).asking, 'feed')
})

test('a head never makes a copy live: it is asked for first', () => {
  const scene = live().wait(14_000)
  assert.equal(scene.status, 'stale')
  scene.wait(250).page(2, 2)
  assert.equal(scene.status, 'stale')
  scene.head(2)
  assert.equal(scene.status, 'stale')
  scene.wait(125)
  assert.equal(scene.asking, 'feed')
  scene.page(2, 2)
  assert.equal(scene.status, 'live')
})

test('a head that stands still below the position is no sign of life', () => {
  const scene = live().message(3, 'created c@1').message(4, 'created d@1')
  for (let count = 0; count < 3; count++) scene.head(2).wait(5_000)
  assert.equal(scene.status, 'stale')
})

test('heads that move are a sign of life, also where messages overtake them', () => {
  const scene = live()
  for (let seq = 3; seq < 20; seq += 2) {
    scene.message(seq, `created n${seq}@1`).message(seq + 1, `created n${seq + 1}@1`)
    scene.head(seq).wait(5_000)
  }
  assert.equal(scene.status, 'live')
})

test('without a source it is stale, and polls the feed every two to five seconds', () => {
  const scene = live().hear({ type: 'source-down' })
  assert.equal(scene.status, 'stale')
  scene.wait(1_000).page(3, 3, [message(3, 'created c@1')])
  assert.deepEqual(scene.told(), ['created c@1'])
  for (const random of [0, 0.99]) {
    scene.random = random
    const at = scene.now
    scene.page === undefined || scene.wait(nextTick(scene.m) - scene.now)
    assert.ok(scene.now - at >= 2_000 && scene.now - at <= 5_000, `${scene.now - at}`)
    scene.page(3, 3)
  }
  assert.equal(scene.status, 'stale')
})

test('when the source is back it looks for what it missed before it is live again', () => {
  const scene = live().hear({ type: 'source-down' }, { type: 'source-up' })
  assert.equal(scene.status, 'stale')
  scene.wait(250)
  assert.equal(scene.asking, 'feed')
  scene.page(3, 3, [message(3, 'created c@1')])
  assert.equal(scene.status, 'live')
})

test('it looks for what it missed also where a resource had to be fetched meanwhile', () => {
  const scene = backAfterBaseline().message(3, 'created c@1', { ref: true })
  assert.equal(scene.asking, 'resource')
  scene.resource({ found: 'whole', epoch: 'e1', seq: 3, version: 1, state: { id: 'c' } })
  assert.notEqual(scene.status, 'live')
  assert.equal(scene.wait(1_000).asking, 'feed')
  scene.page(3, 3)
  assert.equal(scene.status, 'live')
})

test('an answer that was asked for before the source was lost proves nothing about the time after', () => {
  const scene = live().head(3).wait(400)
  scene.hear({ type: 'source-down' }, { type: 'source-up' })
  scene.page(3, 3, [message(3, 'created c@1')])
  assert.notEqual(scene.status, 'live')
  assert.equal(scene.asking, 'feed')
  scene.page(3, 3)
  assert.equal(scene.status, 'live')
})

test('changes onto another version are not applied: the resource is fetched while the position waits', () => {
  const scene = live().message(3, 'modified a@3', { changes: { x: 1 } })
  assert.deepEqual(scene.asked, { kind: 'resource', path: '/people/a', held: undefined })
  scene.message(4, 'created c@1')
  assert.deepEqual(scene.told(), [])
  assert.equal(scene.m.position, 2)
  scene.resource({ found: 'whole', epoch: 'e1', seq: 4, version: 3, state: { id: 'a', x: 1, y: 2 } })
  assert.deepEqual(scene.told(), ['modified a@3', 'created c@1'])
  assert.equal(scene.m.position, 4)
})

test('a message without its content is fetched', () => {
  const scene = live().message(3, 'created c@1', { ref: true })
  assert.deepEqual(scene.asked, { kind: 'resource', path: '/people/c', held: undefined })
  scene.resource({ found: 'whole', epoch: 'e1', seq: 3, version: 1, state: { id: 'c' } })
  assert.deepEqual(scene.told(), ['created c@1'])
})

test('a fetched resource that is older than the message is asked for again', () => {
  const scene = live().message(3, 'modified a@3', { changes: { x: 1 } })
  scene.resource({ found: 'whole', epoch: 'e1', seq: 2, version: 2, state: { id: 'a' } })
  assert.deepEqual(scene.held(), ['a@1 {"id":"a"}', 'b@1 {"id":"b"}'])
  assert.equal(scene.wait(1_000).asking, 'resource')
})

test('a resource that cannot be fetched five times leads to a new baseline', () => {
  const scene = live().message(3, 'modified a@3', { changes: { x: 1 } })
  for (let count = 0; count < 5; count++) {
    assert.equal(scene.asking, 'resource')
    scene.fail(unreachable).wait(8_500)
  }
  assert.equal(scene.asking, 'items')
})

test('a resource that is gone when it is fetched does not rise again from older messages', () => {
  const scene = live().message(3, 'modified a@3', { changes: { x: 1 } })
  scene.resource({ found: 'absent', epoch: 'e1', seq: 9 })
  assert.deepEqual(scene.told(), ['deleted a@4'])
  scene
    .message(4, 'deleted a@4')
    .message(5, 'created a@5')
    .message(6, 'deleted a@6')
    .message(7, 'created a@7')
  assert.deepEqual(scene.told(), [])
  assert.equal(scene.m.position, 7)
  // The response held every change up to 9. Behind it, only the resource itself can tell.
  scene.message(8, 'deleted a@8').message(9, 'created b@1').message(10, 'created a@9')
  assert.deepEqual(scene.asked, { kind: 'resource', path: '/people/a', held: undefined })
})

test('a modification of what is not there is fetched, also where it carries the whole state', () => {
  const scene = live().message(3, 'modified z@4')
  assert.deepEqual(scene.asked, { kind: 'resource', path: '/people/z', held: undefined })
})

test('another epoch is only a suspicion until the feed confirms it', () => {
  const scene = live().head(7, { epoch: 'e2' }).wait(125)
  assert.deepEqual(scene.asked, { kind: 'feed', epoch: 'e1', after: 2, compact: false })
  assert.equal(scene.status, 'live')
  scene.fail(gone).wait(500)
  assert.equal(scene.status, 'catching-up')
  assert.equal(scene.asking, 'items')
  scene.items('e2:7', { a: [1, { x: 1 }], c: [1] })
  assert.deepEqual(scene.told(), ['deleted b@0', 'modified a@1', 'created c@1'])
  assert.equal(scene.status, 'live')
  assert.deepEqual([scene.m.epoch, scene.m.position], ['e2', 7])
})

test('after a false alarm no other is believed for five seconds', () => {
  const scene = live().head(7, { epoch: 'poison' }).wait(125).page(2, 2)
  scene.head(7, { epoch: 'other' }).wait(4_000)
  assert.equal(scene.asking, 'nothing')
  scene.wait(1_000).head(7, { epoch: 'other' }).wait(125)
  assert.equal(scene.asking, 'feed')
})

test('a broker that tells of another epoch again and again is told of once, with both epochs', () => {
  const reports = (scene: Scene): string[] =>
    scene.take().flatMap(effect => (effect.type === 'report' ? [effect.error.message] : []))
  const scene = live().head(7, { epoch: 'e9', retained: true }).wait(125).page(2, 2)
  assert.deepEqual(reports(scene), [], 'one may be left from long ago')
  const hearAgain = (epoch: string): string[] => {
    scene.wait(5_000).head(8, { epoch }).wait(250)
    if (scene.asking === 'feed') scene.page(2, 2)
    return reports(scene)
  }
  const [told, ...more] = hearAgain('e9')
  assert.match(told!, /the epoch "e9".* "people".* "e1"\. Is it the API's own broker, and is the topicPrefix/)
  assert.deepEqual(more, [])
  for (let times = 0; times < 5; times++) assert.deepEqual(hearAgain('e9'), [])
  assert.deepEqual(hearAgain('e8'), [])
  assert.match(hearAgain('e8').join(), /"e8"/)
})

test('an epoch that the API has as well is no reason to suspect the broker', () => {
  const scene = live()
  for (const epoch of ['e2', 'e3']) {
    scene.head(7, { epoch }).wait(125).fail(gone).wait(500).items(`${epoch}:7`, {})
    assert.equal(scene.m.epoch, epoch)
    scene.wait(6_000).head(7, { epoch })
  }
  assert.deepEqual(
    scene.take().filter(({ type }) => type === 'report'),
    [],
  )
})

test('messages of another epoch are never applied', () => {
  const scene = live().message(3, 'created x@1', { epoch: 'e0' })
  assert.deepEqual(scene.told(), [])
  assert.equal(scene.m.position, 2)
})

test('a late answer of an epoch that was left is ignored', () => {
  const scene = live()
    .head(7, { epoch: 'e2' })
    .wait(125)
    .fail(gone)
    .wait(500)
    .items('e2:7', { a: [1] })
  const token = scene.call('refresh')
  scene.items('e1:9', { z: [1] })
  assert.deepEqual([scene.m.epoch, scene.outcome(token)], ['e2', 'open'])
  assert.equal(scene.wait(1_000).asking, 'items')
  scene.items('e2:8', { a: [1] })
  assert.equal(scene.outcome(token), 'served')
})

test('a reset leads to a new baseline, and an old one to nothing', () => {
  const scene = live()
    .hear({ type: 'message', message: reset(2) })
    .wait(2_000)
  assert.equal(scene.asking, 'nothing')
  scene.hear({ type: 'message', message: reset(7) }).wait(500)
  assert.equal(scene.asking, 'items')
})

test('a response that is older than the copy is ignored as a whole and asked for again', () => {
  const scene = live().message(3, 'created c@1')
  const token = scene.call('refresh')
  scene.items('e1:2', { a: [1], b: [1] })
  assert.equal(scene.status, 'stale')
  assert.deepEqual([scene.m.copy.states.size, scene.outcome(token)], [3, 'open'])
  scene.wait(1_000).items('e1:3', { a: [1], b: [1], c: [1, { v: 1 }] })
  assert.deepEqual([scene.status, scene.outcome(token)], ['live', 'served'])
  assert.deepEqual(scene.told(), ['created c@1'])
})

test('an API that insists for half a minute that it is older is believed', () => {
  const scene = live().message(3, 'created c@1')
  scene.call('refresh', 60_000)
  for (let count = 0; scene.m.position === 3; count++) {
    assert.ok(count < 400 && scene.now < 60_000)
    if (scene.asking === 'items') scene.items('e1:2', { a: [1], b: [1] })
    else scene.wait(250)
  }
  assert.ok(scene.now > 31_000)
  assert.deepEqual(scene.told(), ['created c@1', 'deleted c@0'])
})

test('far behind, it asks for latest states, and claims its position only at the head', () => {
  const scene = live({ compactBeyond: 10 }).head(100).wait(400)
  assert.deepEqual(scene.asked, { kind: 'feed', epoch: 'e1', after: 2, compact: false })
  scene.page(3, 100, [message(3, 'created c@1')])
  assert.deepEqual(scene.asked, { kind: 'feed', epoch: 'e1', after: 3, compact: true })
  scene.page(95, 100, [message(50, 'modified z@9')])
  assert.deepEqual([scene.m.position, scene.m.cursor], [3, 95])
  // What is changed again is left out until its last change: the rest comes as latest states too.
  assert.deepEqual(scene.asked, { kind: 'feed', epoch: 'e1', after: 95, compact: true })
  assert.deepEqual(scene.told(), ['created c@1', 'created z@9'])
  scene.page(100, 100, [message(99, 'deleted z@10')])
  assert.deepEqual([scene.m.position, scene.status], [100, 'live'])
})

test('a page that ends before an earlier answer said the stream ends is older, and ignored', () => {
  const scene = live({ compactBeyond: 10 }).head(100).wait(400)
  scene.page(3, 100, [message(3, 'created c@1')]).page(60, 100)
  scene.page(60, 60)
  assert.equal(scene.m.position, 3)
  assert.equal(scene.status, 'stale')
})

test('a page that covers nothing although there is more is not asked for without a pause', () => {
  const scene = live().head(9).wait(400).page(2, 9)
  assert.equal(scene.asking, 'nothing')
  assert.equal(scene.wait(2_000).asking, 'feed')
})

test('the pages of a baseline belong to one epoch, or it begins again', () => {
  const scene = new Scene().hear({ type: 'start', listenFirst: false })
  scene.items('e1:2', { a: [1] }, 'page2')
  assert.deepEqual(scene.asked, { kind: 'items', next: 'page2' })
  scene.items('e2:1', { b: [1] }).wait(1_000)
  assert.deepEqual(scene.asked, { kind: 'items', next: undefined })
  assert.equal(scene.m.epoch, undefined)
})

test('a page of a baseline that is older than the first page is asked for again', () => {
  const scene = new Scene().hear({ type: 'start', listenFirst: false }).items('e1:5', { a: [1] }, 'page2')
  scene.items('e1:4', { b: [1] }).wait(1_000)
  assert.deepEqual(scene.asked, { kind: 'items', next: 'page2' })
  scene.items('e1:6', { b: [2] })
  assert.deepEqual([scene.m.position, scene.m.copy.states.size], [5, 2])
})

test('nothing older is taken than the latest page of a baseline, whose position is that of the first', () => {
  const scene = new Scene().hear({ type: 'start', listenFirst: false }).items('e1:100', { a: [1] }, 'page2')
  scene.items('e1:110', { z: [3] })
  assert.deepEqual([scene.m.position, scene.m.ahead], [100, 110])
  scene.take()
  scene.call('refresh')
  scene.wait(5_000).items('e1:105', { a: [1], z: [2] })
  assert.deepEqual([scene.told(), scene.held()], [[], ['a@1 {"id":"a"}', 'z@3 {"id":"z"}']])
})

test('a page of a baseline is asked for again three times before all of it is', () => {
  const scene = new Scene().hear({ type: 'start', listenFirst: false }).items('e1:2', { a: [1] }, 'page2')
  for (let count = 0; count < 3; count++) {
    scene.fail(unreachable).wait(2_500)
    assert.deepEqual(scene.asked, { kind: 'items', next: 'page2' })
  }
  scene.fail(unreachable).wait(8_500)
  assert.deepEqual(scene.asked, { kind: 'items', next: undefined })
})

test('a new baseline gives the differences, and nothing where all is equal', () => {
  const scene = live()
  scene.call('refresh')
  scene.items('e1:2', { a: [1], b: [1] })
  assert.deepEqual(scene.told(), [])
  scene.call('refresh')
  scene.items('e1:9', { b: [3, { x: 1 }], c: [1] })
  assert.deepEqual(scene.told(), ['deleted a@2', 'modified b@3', 'created c@1'])
})

test('a refresh is served by a baseline that was asked for after it', () => {
  const scene = new Scene().hear({ type: 'start', listenFirst: true }, { type: 'source-up' })
  const token = scene.call('refresh')
  scene.items('e1:2', { a: [1] })
  assert.equal(scene.outcome(token), 'open')
  scene.wait(0).items('e1:2', { a: [1] })
  assert.deepEqual([scene.outcome(token), scene.status], ['served', 'live'])
})

test('a refresh does not wait for another question to be answered', () => {
  const scene = live().head(3).wait(400)
  assert.equal(scene.asking, 'feed')
  const token = scene.call('refresh')
  assert.equal(scene.asking, 'items')
  scene.items('e1:3', { a: [1], b: [1], c: [1] })
  assert.equal(scene.outcome(token), 'served')
})

test('a refresh or a marker that is not reached in time fails with timeout', () => {
  const scene = live()
  const refresh = scene.call('refresh', 2_000)
  const marker = scene.call('at-least', 'e1:3', 1_000)
  scene.wait(1_500)
  assert.deepEqual([scene.outcome(refresh), scene.outcome(marker)], ['open', 'timeout'])
  scene.wait(500)
  assert.equal(scene.outcome(refresh), 'timeout')
})

test('a marker that is held is served at once, one ahead is asked for at once', () => {
  const scene = live()
  assert.equal(scene.outcome(scene.call('at-least', 'e1:2')), 'served')
  const token = scene.call('at-least', 'e1:4')
  assert.deepEqual(scene.asked, { kind: 'feed', epoch: 'e1', after: 2, compact: false })
  scene.page(3, 3, [message(3, 'created c@1')])
  assert.equal(scene.outcome(token), 'open')
  scene.wait(0).page(4, 4, [message(4, 'created d@1')])
  assert.equal(scene.outcome(token), 'served')
})

test('a marker of an epoch that was left fails at once', () => {
  const scene = live()
  const waiting = scene.call('at-least', 'e1:9')
  scene.fail(gone).wait(500).items('e2:1', {})
  assert.equal(scene.outcome(waiting), 'position-gone')
  assert.equal(scene.outcome(scene.call('at-least', 'e1:1')), 'position-gone')
  const next = scene.call('at-least', 'e2:1')
  assert.equal(scene.outcome(next), 'served')
})

test('a marker of a new epoch is served when the epoch is taken up', () => {
  const scene = live()
  const token = scene.call('at-least', 'e2:1')
  scene
    .fail(gone)
    .wait(500)
    .items('e2:1', { a: [1] })
  assert.equal(scene.outcome(token), 'served')
})

test('ten thousand calls may wait; one more is refused at once, and each of them still ends', () => {
  const scene = live()
  const markers = Array.from({ length: 9_999 }, () => scene.call('at-least', 'e1:99'))
  const refresh = scene.call('refresh')
  assert.equal(scene.outcome(refresh), 'open')
  assert.equal(scene.outcome(scene.call('at-least', 'e1:99')), 'overloaded')
  assert.equal(scene.outcome(scene.call('refresh')), 'overloaded')
  scene.wait(20_000)
  assert.deepEqual(new Set([...markers, refresh].map(token => scene.outcome(token))), new Set(['timeout']))
  assert.equal(scene.outcome(scene.call('at-least', 'e1:99')), 'open')
})

test('ready fails where the API refuses, and following goes on', () => {
  const scene = new Scene()
  const token = scene.call('ready')
  scene.hear({ type: 'start', listenFirst: false }).fail(refused)
  assert.deepEqual([scene.outcome(token), scene.status], ['api-refused', 'connecting'])
  scene.wait(1_000).items('e1:1', {})
  assert.equal(scene.outcome(scene.call('ready')), 'served')
})

test('ready waits out an API that is down', () => {
  const scene = new Scene()
  const token = scene.call('ready')
  scene
    .hear({ type: 'start', listenFirst: false })
    .fail(unreachable)
    .wait(1_000)
    .fail(unreachable)
    .wait(2_000)
  assert.equal(scene.outcome(token), 'open')
  scene.items('e1:1', {})
  assert.equal(scene.outcome(token), 'served')
})

test('waits after failures grow up to eight seconds, and Retry-After counts up to ten', () => {
  const scene = live().hear({ type: 'source-down' }).wait(1_000)
  scene.random = 0.999
  const delays = []
  for (let count = 0; count < 8; count++) {
    const at = scene.now
    scene.fail(unreachable).wait(nextTick(scene.m) - scene.now)
    delays.push(Math.round(scene.now - at))
  }
  assert.deepEqual(delays, [500, 999, 1998, 3996, 7992, 7992, 7992, 7992])
  const at = scene.now
  scene.fail(unreachable, 3_600_000).wait(nextTick(scene.m) - scene.now)
  assert.equal(scene.now - at, 10_000)
})

test('a question that ran into its timeout has waited already', () => {
  const scene = live().hear({ type: 'source-down' }).wait(1_000)
  scene.random = 0.999
  for (let count = 0; count < 6; count++) scene.fail(unreachable).wait(nextTick(scene.m) - scene.now)
  scene.now += 10_000
  scene.fail(new LockstepError('timeout', 'late'))
  assert.ok(nextTick(scene.m) - scene.now <= 250)
})

test('answers to questions that are not open any more do nothing', () => {
  const scene = live().head(3).wait(400)
  const { generation } = scene
  scene.call('refresh')
  const look = (): object => structuredClone({ ...scene.m, copy: scene.held() })
  const before = look()
  const interval = {
    epoch: 'e1',
    after: 2,
    to: 3,
    head: 3,
    compact: false,
    changes: [message(3, 'created c@1')],
  }
  scene.hear({ type: 'page', generation, interval }, { type: 'failed', generation, error: gone })
  scene.hear({ type: 'resource', generation, answer: { found: 'absent', epoch: 'e1', seq: 9 } })
  assert.deepEqual(look(), before)
})

test('a resource that does not exist is ready, and is heard of where it will be created', () => {
  const scene = new Scene({ path: '/people/a' })
  const token = scene.call('ready')
  assert.equal(scene.m.hearsCreations, true)
  scene.hear({ type: 'start', listenFirst: true }, { type: 'source-up' })
  scene.resource({ found: 'absent', epoch: 'e1', seq: 4 })
  assert.deepEqual([scene.outcome(token), scene.status], ['served', 'live'])
  scene.take()
  scene.message(5, 'created b@1').message(6, 'created a@1')
  const effects = scene.take()
  assert.deepEqual(
    effects.map(({ type }) => type),
    ['change', 'creations'],
  )
  assert.deepEqual(scene.held(), ['a@1 {"id":"a","v":1}'])
  scene.message(7, 'deleted a@2')
  assert.deepEqual(scene.take().at(-1), { type: 'creations', wanted: true })
  scene.hear({ type: 'source-up' })
  assert.equal(scene.status, 'catching-up')
  assert.equal(scene.wait(250).asking, 'resource')
})

test('a resource goes by its versions: the next is applied, a gap is asked for after 250 ms', () => {
  const scene = liveResource().message(8, 'modified a@2', { changes: { x: 1 } })
  assert.deepEqual(scene.held(), ['a@2 {"id":"a","v":1,"x":1}'])
  assert.equal(scene.m.position, 8)
  scene.message(20, 'modified a@4', { changes: { y: 1 } }).wait(249)
  assert.equal(scene.asking, 'nothing')
  scene.wait(1)
  assert.deepEqual(scene.asked, { kind: 'resource', path: '/people/a', held: { epoch: 'e1', version: 2 } })
  scene.resource({ found: 'whole', epoch: 'e1', seq: 25, version: 5, state: { id: 'a', z: 1 } })
  assert.deepEqual(scene.told(), ['modified a@2', 'modified a@5'])
  assert.deepEqual([scene.m.position, scene.m.buffer.size, scene.status], [25, 0, 'live'])
})

test('a resource takes a whole state over a gap', () => {
  const scene = liveResource().message(20, 'modified a@4')
  assert.deepEqual(scene.told(), ['modified a@4'])
})

test('a resource confirms a silence when the head moves, at most every ten seconds, and stays live', () => {
  const scene = liveResource()
  const asked: number[] = []
  for (let second = 0; second < 60; second += 5) {
    scene.head(second + 2).wait(4_000)
    if (scene.asking !== 'nothing') {
      asked.push(scene.now)
      scene.resource({ found: 'same', epoch: 'e1', seq: second + 2 })
      assert.equal(scene.m.position, second + 2)
    }
    assert.equal(scene.status, 'live')
    scene.wait(1_000)
  }
  assert.ok(asked.length >= 5 && asked.length <= 7, `${asked.length}`)
})

test('a resource whose silence cannot be confirmed is stale', () => {
  const scene = liveResource().wait(9_000).head(5).wait(1_000).fail(unreachable)
  assert.equal(scene.status, 'stale')
})

test('a resource that is asked for past an older answer keeps what it has', () => {
  const scene = liveResource().message(8, 'modified a@2')
  scene.call('refresh')
  assert.deepEqual(scene.asked, { kind: 'resource', path: '/people/a', held: undefined })
  scene.resource({ found: 'absent', epoch: 'e1', seq: 7 })
  assert.deepEqual(scene.held(), ['a@2 {"id":"a","v":2}'])
  scene.wait(1_000).resource({ found: 'absent', epoch: 'e1', seq: 9 })
  assert.deepEqual(scene.held(), [])
})

test('a nested collection hears hints by version, and confirms with the narrowed feed', () => {
  const scene = new Scene({ path: '/people/1/friends' })
  scene.hear({ type: 'start', listenFirst: true }, { type: 'source-up' }).items('e1:5', { x: [1] })
  scene.take()
  scene
    .message(9, 'created /people/1/friends/y@1')
    .message(30, 'modified /people/1/friends/x@2', { changes: { n: 1 } })
  assert.deepEqual(scene.told(), ['created y@1', 'modified x@2'])
  assert.equal(scene.m.position, 5)
  scene.head(31).wait(10_000)
  assert.deepEqual(scene.asked, { kind: 'feed', epoch: 'e1', after: 5, compact: false })
  assert.equal(scene.status, 'live')
  scene.page(31, 31, [
    message(9, 'created /people/1/friends/y@1'),
    message(31, 'deleted /people/1/friends/y@2'),
  ])
  assert.deepEqual(scene.told(), ['deleted y@2'])
  assert.equal(scene.m.position, 31)
})

test('a resource ignores a version that it has left behind, whatever the marker says', () => {
  const scene = liveResource().message(8, 'modified a@2')
  scene.call('refresh')
  scene.resource({ found: 'whole', epoch: 'e1', seq: 9, version: 1, state: { id: 'a', v: 1 } })
  assert.deepEqual(scene.held(), ['a@2 {"id":"a","v":2}'])
  assert.equal(scene.wait(1_000).asking, 'resource')
})

test('a nested collection ignores a baseline from before a hint that it has taken', () => {
  const scene = new Scene({ path: '/people/1/friends' })
  scene.hear({ type: 'start', listenFirst: true }, { type: 'source-up' }).items('e1:5', {})
  scene.message(30, 'created /people/1/friends/y@1')
  scene.call('refresh')
  scene.items('e1:20', {})
  assert.deepEqual(scene.told(), ['refreshed', 'created y@1'])
  scene.wait(1_000).items('e1:30', {})
  assert.deepEqual(scene.told(), ['deleted y@2'])
})

test('a nested collection does not bring back what a later answer does not have', () => {
  const scene = new Scene({ path: '/people/1/friends' })
  scene.hear({ type: 'start', listenFirst: true }, { type: 'source-up' }).items('e1:5', { x: [3] })
  scene.call('refresh')
  scene.items('e1:9', {})
  scene.message(8, 'modified /people/1/friends/x@4')
  assert.deepEqual(scene.told(), ['refreshed', 'deleted x@4'])
})

test('an event stream is opened after the baseline, and makes the copy live with its first head', () => {
  const scene = new Scene({ isOrdered: true }).hear({ type: 'start', listenFirst: true })
  assert.equal(scene.asking, 'items')
  scene.items('e1:2', { a: [1] })
  assert.deepEqual(
    scene.take().find(({ type }) => type === 'listen'),
    { type: 'listen', after: { epoch: 'e1', seq: 2 } },
  )
  scene.hear({ type: 'source-up' }).push(2, 3, [message(3, 'created b@1')])
  assert.equal(scene.status, 'catching-up')
  scene.push(3, 3, [], 3)
  assert.equal(scene.status, 'live')
})

test('an event stream that skips something is opened anew where the copy ends', () => {
  const scene = liveStream().push(4, 5, [message(5, 'created e@1')])
  assert.deepEqual(scene.take().at(-1), { type: 'listen', after: { epoch: 'e1', seq: 2 } })
  assert.equal(scene.status, 'catching-up')
  assert.equal(scene.m.position, 2)
})

test('an event stream that ends is opened again after a page of the feed', () => {
  const scene = liveStream().hear({ type: 'source-down' })
  assert.equal(scene.status, 'stale')
  scene.wait(250)
  assert.equal(scene.asking, 'feed')
  scene.page(3, 3, [message(3, 'created c@1')])
  assert.deepEqual(scene.take().at(-1), { type: 'listen', after: { epoch: 'e1', seq: 3 } })
  scene.hear({ type: 'source-up' }).push(3, 3, [], 3)
  assert.equal(scene.status, 'live')
})

test('a silent event stream is closed, and the feed is polled', () => {
  const scene = liveStream().wait(14_000)
  assert.deepEqual(scene.take(), [{ type: 'unlisten' }, { type: 'status', status: 'stale' }])
  assert.equal(scene.wait(250).asking, 'feed')
})

test('an event stream that cannot go on from the position leads to a new baseline and a new stream', () => {
  const scene = liveStream().hear({ type: 'gone' })
  assert.equal(scene.status, 'catching-up')
  scene.wait(500).items('e2:7', { a: [2] })
  assert.deepEqual(scene.take().at(-1), { type: 'listen', after: { epoch: 'e2', seq: 7 } })
})

test('what an event stream says while a question is open waits for the answer', () => {
  const scene = liveStream()
  const token = scene.call('refresh')
  scene.push(2, 3, [message(3, 'created c@1')]).push(3, 4, [message(4, 'created d@1')], 4)
  assert.deepEqual(scene.m.position, 2)
  scene.items('e1:3', { a: [1], b: [1], c: [1] })
  assert.equal(scene.outcome(token), 'served')
  assert.deepEqual(scene.told(), ['created c@1', 'created d@1'])
  assert.equal(scene.status, 'live')
})

test('an event stream that says too much while a question is open is opened anew', () => {
  const scene = liveStream()
  scene.call('refresh')
  const messages = Array.from({ length: limits.maxPushed + 1 }, (_, index) =>
    message(index + 3, `created n${index}@1`),
  )
  scene.push(2, limits.maxPushed + 3, messages)
  assert.equal(scene.m.pushed, undefined)
  scene.items('e1:3', { a: [1] })
  assert.deepEqual(
    scene.take().findLast(({ type }) => type === 'listen'),
    {
      type: 'listen',
      after: { epoch: 'e1', seq: 3 },
    },
  )
})

test('a resource over an event stream fetches what it has no base for, and takes the rest after it', () => {
  const scene = new Scene({ path: '/people/a', isOrdered: true }).hear({ type: 'start', listenFirst: true })
  scene.resource({ found: 'absent', epoch: 'e1', seq: 2 }).hear({ type: 'source-up' }).push(2, 2, [], 2)
  scene.push(2, 6, [
    message(5, 'modified a@3', { changes: { x: 1 } }),
    message(6, 'modified a@4', { changes: { y: 1 } }),
  ])
  assert.equal(scene.asking, 'resource')
  scene.push(6, 7, [message(7, 'modified a@5', { changes: { z: 1 } })], 7)
  scene.resource({ found: 'whole', epoch: 'e1', seq: 5, version: 3, state: { id: 'a', x: 1 } })
  assert.deepEqual(scene.told(), ['refreshed', 'created a@3', 'modified a@4', 'modified a@5'])
  assert.deepEqual([scene.m.position, scene.status], [7, 'live'])
})

test('a copy that is lost is fetched anew by the same follower: nothing older comes, and who waits is served', () => {
  const scene = live().message(3, 'modified a@2')
  assert.equal(scene.m.position, 3)
  const call = scene.call('at-least', 'e1:4')
  const refresh = scene.call('refresh')
  scene.take()
  scene.m.copy.remove('a')
  scene.m.copy.remove('b')
  scene.hear({ type: 'lost' })
  assert.deepEqual(
    [scene.status, scene.asking, scene.m.position, scene.m.epoch],
    ['connecting', 'items', 0, undefined],
  )
  scene.items('e1:2', { a: [1], b: [1] })
  assert.deepEqual([scene.status, scene.held()], ['connecting', []], 'it is older than what was shown')
  scene.message(4, 'modified b@2').wait(1_000)
  scene.items('e1:3', { a: [2], b: [1] })
  assert.deepEqual([scene.status, scene.m.position], ['live', 4])
  assert.deepEqual([scene.outcome(call), scene.outcome(refresh)], ['served', 'served'])
  assert.deepEqual(scene.told(), ['refreshed', 'modified b@2'])
})

test('a copy over an event stream that is lost opens the stream anew, after its new baseline', () => {
  const scene = liveStream().hear({ type: 'lost' })
  assert.deepEqual(
    scene.take().map(({ type }) => type),
    ['abort', 'unlisten', 'status', 'ask'],
  )
  scene
    .items('e1:5', { a: [1] })
    .hear({ type: 'source-up' })
    .push(5, 5, [], 5)
  assert.equal(scene.status, 'live')
})

test('closing ends the question, the source and every call, and nothing happens afterwards', () => {
  const scene = live()
  const refresh = scene.call('refresh')
  const marker = scene.call('at-least', 'e1:9')
  scene.hear({ type: 'close' })
  assert.deepEqual(
    [scene.outcome(refresh), scene.outcome(marker), scene.status],
    ['closed', 'closed', 'closed'],
  )
  const types = scene.take().map(({ type }) => type)
  assert.ok(types.includes('abort') && types.includes('unlisten'))
  assert.equal(nextTick(scene.m), Number.POSITIVE_INFINITY)
  for (const event of everyEvent(scene)) scene.hear(event)
  assert.deepEqual(
    scene.take().map(effect => (effect.type === 'settle' ? effect.error?.code : effect.type)),
    ['closed', 'closed', 'closed'],
  )
})

/** One event of each type, each plausible in the scene. */
function everyEvent({ generation, m }: Scene): FollowerEvent[] {
  const interval = {
    epoch: 'e1',
    after: m.position,
    to: m.position + 1,
    head: m.position + 1,
    compact: false,
  }
  const changes = [message(m.position + 1, 'created n@1')]
  return [
    { type: 'start', listenFirst: false },
    { type: 'source-up' },
    { type: 'source-down' },
    { type: 'message', message: message(m.position + 1, 'created n@1') },
    { type: 'message', message: message(m.position + 3, 'modified a@7', { changes: { x: 1 } }) },
    { type: 'message', message: reset(m.position + 1) },
    { type: 'head', head: { stream: 'people', epoch: 'e1', seq: m.position + 2, first: 1 }, retained: false },
    { type: 'head', head: { stream: 'people', epoch: 'e9', seq: 1, first: 1 }, retained: true },
    { type: 'interval', interval: { ...interval, changes } },
    { type: 'gone' },
    { type: 'page', generation, interval: { ...interval, changes } },
    { type: 'items', generation, epoch: 'e1', seq: m.ahead, items: [], next: undefined },
    { type: 'items', generation, epoch: 'e2', seq: 1, items: [], next: 'more' },
    { type: 'resource', generation, answer: { found: 'absent', epoch: 'e1', seq: m.ahead + 1 } },
    { type: 'failed', generation, error: unreachable },
    { type: 'failed', generation, error: gone },
    { type: 'failed', generation, error: refused },
    { type: 'ready', token: 901 },
    { type: 'refresh', token: 902, timeoutMs: 1_000 },
    { type: 'at-least', token: 903, epoch: 'e1', seq: m.position + 5, timeoutMs: 1_000 },
    { type: 'tick' },
    { type: 'close' },
  ]
}

/** A follower in each state, and with each kind of question open. */
const situations: Readonly<Record<string, () => Scene>> = {
  begun: () => new Scene(),
  connecting: () => new Scene().hear({ type: 'start', listenFirst: true }),
  'connecting, asked': () => new Scene().hear({ type: 'start', listenFirst: false }),
  'connecting, first page': () =>
    new Scene().hear({ type: 'start', listenFirst: false }).items('e1:2', {}, 'next'),
  'connecting, stream': () => new Scene({ isOrdered: true }).hear({ type: 'start', listenFirst: false }),
  live,
  'live, hole': () => live().message(9, 'created z@1'),
  'live, blocked': () => live().message(3, 'modified a@9', { changes: { x: 1 } }),
  'live, stream': liveStream,
  'live, resource': liveResource,
  refreshing: () => {
    const scene = live()
    scene.call('refresh')
    return scene
  },
  'refreshing, stream': () => {
    const scene = liveStream()
    scene.call('refresh')
    return scene.push(2, 3, [message(3, 'created c@1')])
  },
  'catching up': () => live().head(9).wait(400),
  'catching up, stream': () => liveStream().push(7, 8),
  'catching up, planned': backAfterBaseline,
  'catching up, blocked': () => backAfterBaseline().message(3, 'created c@1', { ref: true }),
  'stale, polling': () => live().hear({ type: 'source-down' }).wait(1_000),
  'stale, resting': () => live().hear({ type: 'source-down' }).wait(1_000).page(2, 2),
  'stale, silent': () => live().wait(14_000),
  'stale, failing': () => live().head(9).wait(400).fail(unreachable),
  'stale, stream': () => liveStream().hear({ type: 'source-down' }),
  'stale, resource': () => liveResource().hear({ type: 'source-down' }),
  closed: () => live().hear({ type: 'close' }),
}

test('every event in every situation leaves the follower whole, and with something to wake it', () => {
  for (const [name, situation] of Object.entries(situations)) {
    for (const index of everyEvent(new Scene()).keys()) {
      for (const second of everyEvent(new Scene()).keys()) {
        const scene = situation()
        scene.take()
        for (const at of [index, second]) {
          const event = everyEvent(scene)[at]!
          const before = scene.status
          scene.hear(event)
          const effects = scene.take()
          const where = `${name}, then ${event.type}`
          const last = effects.findLast(effect => effect.type === 'status')
          assert.equal(last?.type === 'status' ? last.status : before, scene.status, where)
          const { m } = scene
          assert.equal(m.copy.states.size, m.copy.versions.size, where)
          assert.ok(m.position <= m.cursor && m.cursor <= m.ahead, where)
          // Silence is the end of every wait but that of who catches up: heads may go on for ever.
          const isAsking = m.question !== undefined || m.deadlines.ask < Number.POSITIVE_INFINITY
          const isWaiting = nextTick(m) < Number.POSITIVE_INFINITY && !isLeftBehind(scene)
          assert.ok(
            isAsking || isWaiting || m.state === 'closed' || name === 'begun' || isOpening(scene),
            `${where} sleeps for ever`,
          )
        }
      }
    }
  }
})

/** It has a source that it hears, and is to catch up with what only an answer can tell. */
function isLeftBehind({ m }: Scene): boolean {
  const isHeard = m.isSourceUp && !m.isSilent && !m.isOrdered
  return (
    m.state === 'catching-up' &&
    isHeard &&
    Math.min(m.deadlines.hole, m.deadlines.head) === Number.POSITIVE_INFINITY
  )
}

/** An event stream that is being opened ends in any case: then the follower hears of it. */
function isOpening({ m }: Scene): boolean {
  return m.isListening && !m.isSourceUp
}
