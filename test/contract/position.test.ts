import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import {
  comparePositions,
  formatMarker,
  formatPosition,
  isAtLeast,
  type Marker,
  maxMarkerStreams,
  minimumMarker,
  type Position,
  parseMarker,
  parsePosition,
  parsePositionIn,
} from 'lockstep/contract'
import { readCases, resultOf, titleOf } from '../support/cases.ts'

const positions: fc.Arbitrary<Position> = fc.record({
  stream: fc.constantFrom('people', 'teams', 'builds', '%C3%A9'),
  epoch: fc.constantFrom('k3f9', 'k3f9', 'k3f9', 'x1'),
  seq: fc.oneof(fc.nat({ max: 4 }), fc.maxSafeNat()),
})
const markers: fc.Arbitrary<Marker> = fc
  .uniqueArray(positions, { selector: position => position.stream, maxLength: 4 })
  .map(list => parseMarker(formatMarker(list)))

test('positions are read and written as the cases say', () => {
  for (const entry of readCases('positions')) {
    const {
      about: _,
      text,
      in: stream,
      error,
      ...expected
    } = entry as { about?: string; text: string; in?: string; error?: string }
    const result = resultOf(() =>
      stream === undefined ? parsePosition(text) : parsePositionIn(stream, text),
    )
    assert.deepEqual(result, error === undefined ? expected : { error }, titleOf(entry))
    if (error === undefined && stream === undefined) assert.equal(formatPosition(expected as Position), text)
  }
})

test('markers are read, written, combined and compared as the cases say', () => {
  for (const entry of readCases('markers')) {
    const title = titleOf(entry)
    const {
      text,
      positions,
      formatted,
      error,
      minimumOf,
      minimum,
      held,
      wanted,
      isAtLeast: reached,
      compare,
      order,
    } = entry as {
      text?: string
      positions: string[]
      formatted: string
      error?: string
      minimumOf?: string[]
      minimum: string | null
      held?: string
      wanted: string
      isAtLeast: boolean
      compare: [string, string]
      order: string
    }
    if (text !== undefined) {
      const marker = resultOf(() => parseMarker(text))
      assert.deepEqual(marker, error === undefined ? positions.map(parsePosition) : { error }, title)
      if (error === undefined) assert.equal(formatMarker([...(marker as Marker)].reverse()), formatted, title)
    } else if (minimumOf !== undefined) {
      const result = minimumMarker(minimumOf.map(parseMarker))
      assert.equal(result === undefined ? null : formatMarker(result), minimum, title)
    } else if (held !== undefined) {
      assert.equal(isAtLeast(parseMarker(held), parseMarker(wanted)), reached, title)
    } else {
      assert.equal(comparePositions(parsePosition(compare[0]), parsePosition(compare[1])), order, title)
    }
  }
})

test('a marker comes back from its text as it was', () => {
  fc.assert(fc.property(markers, marker => assert.deepEqual(parseMarker(formatMarker(marker)), marker)))
})

test('the minimum is a lower bound of each part, the greatest one, and does not depend on the order of the parts', () => {
  fc.assert(
    fc.property(fc.array(markers, { maxLength: 4 }), parts => {
      const minimum = minimumMarker(parts)
      assert.deepEqual(minimumMarker([...parts].reverse()), minimum)
      const all = parts.flat()
      const mixed = all.some(a => all.some(b => a.stream === b.stream && a.epoch !== b.epoch))
      assert.equal(minimum === undefined, mixed)
      if (minimum === undefined) return
      assert.deepEqual(minimumMarker([minimum, ...parts]), minimum)
      assert.deepEqual(
        minimum.map(position => position.stream),
        [...new Set(all.map(position => position.stream))].sort(),
      )
      for (const { stream, seq } of minimum) {
        assert.equal(
          seq,
          Math.min(...all.filter(position => position.stream === stream).map(position => position.seq)),
        )
      }
    }),
    { numRuns: 2000 },
  )
})

test('reaching is reflexive and transitive, and a later position of one stream reaches an earlier one', () => {
  fc.assert(
    fc.property(markers, markers, markers, (a, b, c) => {
      assert.ok(isAtLeast(a, a))
      if (isAtLeast(a, b) && isAtLeast(b, c)) assert.ok(isAtLeast(a, c))
      if (isAtLeast(a, b) && isAtLeast(b, a)) assert.deepEqual(a, b)
    }),
    { numRuns: 2000 },
  )
})

test('hostile markers are refused without reading them to their end', () => {
  const start = performance.now()
  for (const text of [
    ','.repeat(1_000_000),
    `${'a:b:1,'.repeat(1_000_000)}`,
    'a'.repeat(5_000_000),
    `a:b:${'1'.repeat(5_000_000)}`,
    `${' '.repeat(1_000_000)}x`,
  ]) {
    assert.throws(
      () => parseMarker(text),
      error =>
        (error as { code?: string }).code === 'invalid-position' && (error as Error).message.length < 300,
    )
  }
  assert.ok(performance.now() - start < 20_000)
  assert.ok(maxMarkerStreams >= 16)
})
