import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import type { ChangeMessage } from '../../../src/contract/index.ts'
import { type Interval, PageSession } from '../../../src/live/browser/page-session.ts'

function message(seq: number, epoch = 'e'): ChangeMessage {
  return { event: 'deleted', resource: '/people/1', version: seq, id: `people:${epoch}:${seq}` }
}

function interval(after: number, to: number, epoch = 'e'): Interval {
  const messages = Array.from({ length: to - after }, (_, index) => message(after + index + 1, epoch))
  return { type: 'interval', stream: 'people', epoch, after, to, messages }
}

function open(marker = 'people:e:5', follow = [{ path: '/people' }]): PageSession {
  const session = new PageSession(follow, marker)
  session.interrupt()
  session.take({ type: 'welcome' })
  return session
}

const seqs = (news: readonly ChangeMessage[] | 'lost'): unknown =>
  news === 'lost' ? news : news.map(({ version }) => version)

test('intervals that join on move the position; an empty one is a bookmark', () => {
  const session = open()
  assert.deepEqual(seqs(session.take(interval(5, 7))), [6, 7])
  assert.deepEqual(seqs(session.take({ ...interval(7, 9), messages: [] })), [])
  assert.equal(session.marker, 'people:e:9')
})

test('what is held already is not taken again, also where an interval overlaps', () => {
  const session = open()
  assert.deepEqual(seqs(session.take(interval(2, 5))), [])
  assert.deepEqual(seqs(session.take(interval(3, 7))), [6, 7])
  assert.equal(session.marker, 'people:e:7')
})

test('an interval beyond the position, or of another epoch, is a loss and moves nothing', () => {
  const session = open()
  assert.equal(session.take(interval(6, 7)), 'lost')
  assert.equal(session.take(interval(5, 7, 'other')), 'lost')
  assert.equal(session.marker, 'people:e:5')
})

test('nothing counts before the welcome, nor between a new hello and its welcome', () => {
  const session = new PageSession([{ path: '/people' }], 'people:e:5')
  session.interrupt()
  assert.deepEqual(session.take(interval(5, 6)), [])
  session.take({ type: 'welcome' })
  session.take({ type: 'live', stream: 'people' })
  session.interrupt()
  assert.deepEqual(session.take(interval(5, 6)), [])
  assert.equal(session.marker, 'people:e:5')
  assert.equal(session.isLive, false)
})

test('a page is live when each of its streams is; a hold takes it back, with its reason', () => {
  const session = open('people:e:5,projects:f:2', [{ path: '/people/1' }, { path: '/projects' }])
  session.take({ type: 'live', stream: 'people' })
  assert.equal(session.isLive, false)
  session.take({ type: 'live', stream: 'projects' })
  assert.equal(session.isLive, true)
  session.take({ type: 'hold', stream: 'projects', reason: 'source' })
  assert.equal(session.isLive, false)
  assert.equal(session.reason, 'source')
  session.take({ type: 'live', stream: 'projects' })
  assert.equal(session.isLive, true)
  assert.equal(session.reason, undefined)
})

test('of a stream that needs a refresh nothing more is taken; the others go on', () => {
  const session = open('people:e:5,projects:f:2', [{ path: '/people' }, { path: '/projects' }])
  session.take({ type: 'refresh', stream: 'people', reason: 'gone' })
  assert.deepEqual(session.take(interval(5, 6)), [])
  session.take({ type: 'live', stream: 'people' })
  assert.equal(session.reason, 'gone')
  session.take({ type: 'interval', stream: 'projects', epoch: 'f', after: 2, to: 3, messages: [] })
  assert.equal(session.marker, 'people:e:5,projects:f:3')
})

test('a welcome begins anew, whatever was said on the connection to the hello before', () => {
  const session = open()
  session.interrupt()
  // The answers to the hello before, which were on their way.
  session.take({ type: 'welcome' })
  session.take({ type: 'refresh', stream: 'people', reason: 'epoch' })
  assert.equal(session.reason, 'epoch')
  session.take({ type: 'welcome' })
  assert.equal(session.reason, undefined)
  assert.deepEqual(seqs(session.take(interval(5, 6))), [6])
  session.take({ type: 'live', stream: 'people' })
  assert.equal(session.isLive, true)
})

test('frames of other types, of streams that are not followed, and members that are not known change nothing', () => {
  const session = open()
  session.take({ type: 'ping' } as never)
  session.take({ type: 'later', stream: 'people' } as never)
  assert.deepEqual(session.take({ ...interval(0, 1), stream: 'cars' }), [])
  assert.equal(session.marker, 'people:e:5')
})

test('whatever intervals come, each change is taken once, in order, and none is left out unnoticed', () => {
  const piece = fc.tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 10 }))
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), pieces => {
      const session = open('people:e:10')
      let position = 10
      for (const [after, length] of pieces) {
        const news = session.take(interval(after, after + length))
        if (after > position) assert.equal(news, 'lost')
        else {
          const expected = Array.from(
            { length: Math.max(0, after + length - position) },
            (_, i) => position + i + 1,
          )
          assert.deepEqual(seqs(news), expected)
          position = Math.max(position, after + length)
        }
        assert.equal(session.marker, `people:e:${position}`)
      }
    }),
  )
})
