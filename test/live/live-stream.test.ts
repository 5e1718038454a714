import assert from 'node:assert/strict'
import test from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { Entry, FeedPage } from '../../src/live/backlog.ts'
import type { Outlet } from '../../src/live/channel.ts'
import { createCounters } from '../../src/live/counters.ts'
import { LiveStream } from '../../src/live/live-stream.ts'
import type { Parcel } from '../../src/live/parcel.ts'
import { toViews } from '../../src/live/view.ts'
import { type Frame, PageCopy } from './page-client.ts'

const epoch = 'k3f9'
const [whole] = toViews([{ path: '/p' }])
const [narrow] = toViews([{ path: '/p', fields: ['shown'] }])

/** A page without a transport, which may stop taking things. */
class TestOutlet implements Outlet {
  isOpen = true
  readonly frames: Frame[] = []
  /** Takes no more after so many parcels. */
  room = Number.POSITIVE_INFINITY

  send(parcel: Parcel): void {
    for (const line of parcel.bytes('events').toString().trim().split('\n\n')) {
      this.frames.push(JSON.parse(line.slice('data: '.length)))
    }
    this.room -= 1
    if (this.room <= 0) this.isOpen = false
  }

  get types(): readonly string[] {
    return this.frames.map(({ type }) => type)
  }
}

function entry(seq: number, member = 'shown', size = 1): Entry {
  const message = {
    event: 'modified',
    state: { id: '1', [member]: `${seq}`.padEnd(size) },
    resource: '/p/1',
    version: seq,
    id: `p:${epoch}:${seq}`,
  }
  return { seq, resource: '/p/1', text: JSON.stringify(message) }
}

function openStream(read?: (after: number) => Promise<FeedPage>, now = (): number => 0): LiveStream {
  const stream = new LiveStream({
    name: 'p',
    fills: { read: async (_epoch, after) => await read!(after) },
    limits: { holdMs: 1_000, maxReplay: 1_000, conflateFrom: 100 },
    backlog: { maxMessages: 10 },
    bookmarkEveryMs: 1_000,
    counters: createCounters(),
    now,
    random: () => 0,
    ask() {},
    onError: error => assert.fail(String(error)),
  })
  stream.setSound(true)
  stream.restart(epoch, 0)
  return stream
}

function append(stream: LiveStream, ...entries: readonly Entry[]): void {
  for (const each of entries) stream.append(stream.backlog.hear(epoch, each))
}

const at = (seq: number) => ({ stream: 'p', epoch, seq })

test('a page that joins while others still wait for their frame is told everything once', async () => {
  const stream = openStream()
  const [one, two] = [new TestOutlet(), new TestOutlet()]
  stream.seat(one, whole!, at(0))
  append(stream, entry(1), entry(2))
  stream.seat(two, whole!, at(1))
  append(stream, entry(3))
  await turn()
  for (const [outlet, from] of [
    [one, 0],
    [two, 1],
  ] as const) {
    const copy = new PageCopy(`p:${epoch}:${from}`)
    for (const frame of outlet.frames) copy.take(frame)
    assert.equal(copy.marker, `p:${epoch}:3`)
  }
  assert.deepEqual(two.types, ['interval', 'live', 'interval'])
})

test('pages of one view are sent the same bytes', async () => {
  const stream = openStream()
  const sent: Buffer[] = []
  const outlet: Outlet = { isOpen: true, send: parcel => void sent.push(parcel.bytes('websocket')) }
  for (let page = 0; page < 3; page++) stream.seat(outlet, whole!, at(0))
  sent.length = 0
  append(stream, entry(1))
  await turn()
  assert.equal(sent.length, 3)
  assert.ok(sent.every(bytes => bytes === sent[0]))
})

test('what a page may not see is not told, and the next frame covers it', async () => {
  const stream = openStream()
  const outlet = new TestOutlet()
  stream.seat(outlet, narrow!, at(0))
  const hidden = {
    ...entry(1),
    text: entry(1, 'hidden').text.replace('"state"', '"changes"').replace('"id":"1",', ''),
  }
  append(stream, hidden)
  await turn()
  assert.deepEqual(outlet.types, ['live'])
  append(stream, entry(2))
  await turn()
  assert.deepEqual([outlet.frames[1]!['after'], outlet.frames[1]!['to']], [0, 2])
})

test('a page that stops taking in the middle of what it missed goes on from there', async () => {
  const big = (seq: number): Entry => entry(seq, 'shown', 100_000)
  const stream = openStream()
  append(stream, ...[1, 2, 3, 4, 5, 6, 7].map(big))
  const outlet = new TestOutlet()
  outlet.room = 1
  const seat = stream.seat(outlet, whole!, at(0))
  assert.deepEqual([outlet.types, seat.phase, seat.seq], [['interval'], 'waiting', 3])
  append(stream, big(8))
  await turn()
  assert.equal(outlet.frames.length, 1)
  outlet.isOpen = true
  outlet.room = Number.POSITIVE_INFINITY
  stream.place(seat)
  const copy = new PageCopy(`p:${epoch}:0`)
  for (const frame of outlet.frames) copy.take(frame)
  assert.deepEqual([copy.marker, outlet.types.at(-1)], [`p:${epoch}:8`, 'live'])
})

test('a page that leaves while the feed is read for it is told no more, and nothing of it stays', async () => {
  const reading = Promise.withResolvers<FeedPage>()
  const stream = openStream(() => reading.promise)
  append(stream, ...Array.from({ length: 20 }, (_, index) => entry(index + 1)))
  const outlet = new TestOutlet()
  const seat = stream.seat(outlet, whole!, at(3))
  assert.equal(seat.phase, 'filling')
  stream.leave(seat)
  stream.leave(seat)
  reading.resolve({ epoch, after: 0, to: 5, head: 20, first: 1, entries: [4, 5].map(seq => entry(seq)) })
  await turn()
  assert.deepEqual([outlet.frames, stream.channels, stream.waiting], [[], 0, 0])
})

test('when the history begins anew, live pages are told to begin anew once the feed has said so', async () => {
  const stream = openStream()
  const outlet = new TestOutlet()
  stream.seat(outlet, whole!, at(0))
  append(stream, entry(1))
  stream.restart('new', 7)
  stream.proofs += 1
  stream.wake()
  await turn()
  assert.deepEqual(outlet.frames.at(-1), { type: 'refresh', stream: 'p', reason: 'epoch', marker: 'p:new:7' })
  assert.equal(stream.channels, 0)
})

test('a page that the feed brings further than the bridge is waits for the bridge, however long ago it came', async () => {
  const reading = Promise.withResolvers<FeedPage>()
  let now = 0
  const stream = openStream(
    () => reading.promise,
    () => now,
  )
  append(stream, ...Array.from({ length: 20 }, (_, index) => entry(index + 1)))
  const outlet = new TestOutlet()
  stream.seat(outlet, whole!, at(19 - 10))
  now = 9_000
  stream.reads = 1
  stream.proofs = 1
  const entries = Array.from({ length: 12 }, (_, index) => entry(10 + index))
  reading.resolve({ epoch, after: 9, to: 21, head: 21, first: 1, entries })
  await turn()
  assert.deepEqual(outlet.types, ['interval', 'hold'])
  append(stream, entry(21))
  await turn()
  assert.deepEqual(outlet.types, ['interval', 'hold', 'live'])
})

test('a read of the feed that began before a page came says nothing about its place', async () => {
  let now = 0
  const stream = openStream(undefined, () => now)
  stream.reads = 1
  const outlet = new TestOutlet()
  stream.seat(outlet, whole!, at(3))
  now = 5_000
  stream.proofs = 1
  stream.wake()
  await turn()
  assert.deepEqual(outlet.types, ['hold'])
  stream.reads = 2
  stream.proofs = 2
  stream.wake()
  await turn()
  assert.deepEqual(outlet.types, ['hold', 'refresh'])
})
