import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { decide, type Holding, type Place } from '../../src/live/seat.ts'

const limits = { holdMs: 2_000, maxReplay: 50 }
const holding: Holding = { epoch: 'e', start: 100, last: 120, first: 11, proofs: 3 }
const place: Place = { epoch: 'e', seq: 110, sinceMs: 0, proofs: 2 }

test('each place of a page has its move', () => {
  const table: readonly (readonly [
    what: string,
    Partial<Place>,
    Partial<Holding>,
    nowMs: number,
    move: string,
  ])[] = [
    ['within the backlog', {}, {}, 0, 'join'],
    ['at its end', { seq: 120 }, {}, 0, 'join'],
    ['one before its first message', { seq: 100 }, {}, 0, 'join'],
    ['two before its first message', { seq: 99 }, {}, 0, 'fill'],
    ['as far back as a replay may be', { seq: 70 }, {}, 0, 'fill'],
    ['farther back than that', { seq: 69 }, {}, 0, 'refresh too-far'],
    ['one before the first change of the log', { seq: 10 }, { last: 50, start: 40 }, 0, 'fill'],
    ['two before it', { seq: 9 }, { last: 50, start: 40 }, 0, 'refresh gone'],
    ['ahead', { seq: 121 }, {}, 0, 'hold behind'],
    ['ahead for long, and the feed was not read since', { seq: 121, proofs: 3 }, {}, 9_000, 'hold behind'],
    ['ahead for long, and the feed does not know it either', { seq: 121 }, {}, 2_000, 'refresh ahead'],
    [
      'of another epoch, and the feed was not read since',
      { epoch: 'f', proofs: 3 },
      {},
      9_000,
      'hold behind',
    ],
    ['of another epoch', { epoch: 'f' }, {}, 0, 'refresh epoch'],
    ['from now on', { epoch: undefined }, {}, 0, 'join'],
    ['anywhere, before the bridge knows anything', {}, { epoch: undefined }, 0, 'hold source'],
    [
      'from now on, before the bridge knows anything',
      { epoch: undefined },
      { epoch: undefined },
      0,
      'hold source',
    ],
  ]
  for (const [what, placed, held, nowMs, expected] of table) {
    const move = decide({ ...place, ...placed }, { ...holding, ...held }, limits, nowMs)
    const shown = 'reason' in move ? `${move.kind} ${move.reason}` : move.kind
    assert.equal(shown, expected, what)
  }
})

test('a page joins exactly where the backlog has everything after it, and is never refreshed where a gap could be bridged', () => {
  const count = fc.integer({ min: 0, max: 200 })
  fc.assert(
    fc.property(count, count, count, count, (seq, start, length, first) => {
      const ring = { ...holding, start, last: start + length, first: Math.min(first, start) + 1 }
      const { kind } = decide({ ...place, seq }, ring, limits, 0)
      assert.equal(kind === 'join', seq >= ring.start && seq <= ring.last)
      const isBridgeable = seq >= ring.first - 1 && seq <= ring.last && ring.last - seq <= limits.maxReplay
      if (isBridgeable) assert.notEqual(kind, 'refresh')
    }),
  )
})
