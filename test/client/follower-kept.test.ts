/** The follower's machine with a copy from before a restart: PROTOCOL.md 6.9. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { LockstepError } from '../../src/contract/index.ts'
import { message, Scene } from './scene.ts'

const items = { a: 3, b: 1 }
const unreachable = new LockstepError('api-unreachable', 'down')
const gone = new LockstepError('position-gone', 'gone')
const open = (options: object = {}): Scene =>
  new Scene({ kept: { items, position: 7 }, ...options }).hear({ type: 'start', listenFirst: true })

test('a kept copy is shown before anything is asked, as catching up, and is ready', () => {
  const scene = new Scene({ kept: { items, position: 7 } })
  assert.deepEqual([scene.status, scene.held().length, scene.asking], ['catching-up', 2, 'nothing'])
  assert.equal(scene.outcome(scene.call('ready')), 'served')
  assert.deepEqual(scene.hear({ type: 'start', listenFirst: true }).told(), ['refreshed'])
})

test('it reads the feed after its position while the source comes up, and is live after an answer of later', () => {
  const scene = open()
  assert.deepEqual(scene.asked, { kind: 'feed', epoch: 'e1', after: 7, compact: false })
  scene.take()
  scene.page(9, 9, [message(8, 'modified a@4'), message(9, 'created c@1')])
  assert.deepEqual(scene.told(), ['modified a@4', 'created c@1'])
  assert.equal(scene.status, 'catching-up')
  scene.hear({ type: 'source-up' }).page(9, 9)
  assert.equal(scene.status, 'live')
})

test('where the source does not come up it is stale, and polls', () => {
  const scene = open().page(7, 7).wait(1_100)
  assert.equal(scene.status, 'stale')
  scene.wait(3_000)
  assert.equal(scene.asking, 'feed')
})

test('where the API does not answer it is stale with the age that was kept', () => {
  const scene = open({ kept: { items, position: 7, confirmedAt: -60_000 } }).fail(unreachable)
  assert.deepEqual([scene.status, scene.m.confirmedAt, scene.held().length], ['stale', -60_000, 2])
})

test('a position that is gone leads to a new baseline, of which only the differences are told', () => {
  const scene = open()
  scene.take()
  scene.fail(gone).wait(1_000)
  assert.equal(scene.asking, 'items')
  scene.items('e1:40', { a: [3, { v: 3 }], d: [1] })
  assert.deepEqual(scene.told(), ['deleted b@2', 'created d@1'])
  assert.equal(scene.m.position, 40)
})

test('an answer older than what may be in the copy is not taken', () => {
  const scene = open({ kept: { items, position: 7, ahead: 9 } }).page(8, 8)
  assert.deepEqual([scene.m.position, scene.status], [7, 'stale'])
})

test('a catch-up by latest states that a restart interrupted goes on by latest states, and claims nothing before its end', () => {
  const scene = open({ kept: { items, position: 7, cursor: 20, ahead: 20 } })
  assert.deepEqual(scene.asked, { kind: 'feed', epoch: 'e1', after: 20, compact: true })
  scene.page(30, 40)
  assert.equal(scene.m.position, 7)
  scene.page(40, 40)
  assert.equal(scene.m.position, 40)
})

test('an event stream is opened where the feed has led to', () => {
  const scene = open({ isOrdered: true })
  assert.equal(scene.asking, 'feed')
  scene.take()
  scene.page(9, 9, [message(8, 'modified a@4')])
  const listens = scene.take().filter(({ type }) => type === 'listen')
  assert.deepEqual(listens, [{ type: 'listen', after: { epoch: 'e1', seq: 9 } }])
  scene.hear({ type: 'source-up' }).push(9, 9, [], 9)
  assert.equal(scene.status, 'live')
})

test('a kept resource is confirmed by a conditional request, and heard of where it is', () => {
  const scene = open({ path: '/people/a', kept: { items: { a: 3 }, position: 7 } })
  assert.deepEqual(scene.asked, { kind: 'resource', path: '/people/a', held: { epoch: 'e1', version: 3 } })
  scene.hear({ type: 'source-up' }).resource({ found: 'same', epoch: 'e1', seq: 12 })
  scene.resource({ found: 'same', epoch: 'e1', seq: 12 })
  assert.deepEqual([scene.status, scene.m.position, scene.m.hearsCreations], ['live', 12, false])
})

test('what the application asks for before the start is served', () => {
  const scene = new Scene({ kept: { items, position: 7 } })
  const tokens = [scene.call('refresh'), scene.call('at-least', 'e1:5'), scene.call('at-least', 'e1:8')]
  scene.hear({ type: 'start', listenFirst: true }, { type: 'source-up' }).items('e1:8', { a: [3], b: [1] })
  assert.deepEqual(
    tokens.map(token => scene.outcome(token)),
    ['served', 'served', 'served'],
  )
})

test('closed before its start, it does nothing', () => {
  const scene = new Scene({ kept: { items, position: 7 } }).hear({ type: 'close' })
  scene.take()
  assert.deepEqual(scene.hear({ type: 'start', listenFirst: true }).take(), [])
})
