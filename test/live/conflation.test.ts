import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import {
  applyMergePatch,
  diffMergePatch,
  isEqualJson,
  type Json,
  type JsonObject,
} from '../../src/contract/index.ts'
import type { Entry } from '../../src/live/backlog.ts'
import { conflate } from '../../src/live/conflation.ts'

interface Copy {
  readonly version: number
  readonly state: Json | undefined
}

/** Applies messages as a page does (PROTOCOL.md §9.9). */
function apply(copy: Copy, entries: readonly Entry[]): Copy {
  return entries.reduce((held, { text }) => {
    const { event, version, state, changes } = JSON.parse(text) as JsonObject
    if (Number(version) <= held.version) return held
    const after = event === 'deleted' ? undefined : (state ?? applyMergePatch(held.state, changes!))
    return { version: Number(version), state: after }
  }, copy)
}

/** Small states of few names, so that members meet, appear, vanish and change their kind. */
const value: fc.Arbitrary<Json> = fc.letrec<{ value: Json; object: Json }>(tie => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom<Json>(1, 'x', true),
    fc.constant<Json>([1]),
    tie('object'),
  ),
  object: fc.dictionary(fc.constantFrom('a', 'b', '__proto__'), tie('value'), {
    maxKeys: 2,
  }) as fc.Arbitrary<Json>,
})).value
const state = fc.dictionary(fc.constantFrom('a', 'b', 'c'), value, { maxKeys: 3 }) as fc.Arbitrary<JsonObject>
const step = fc.record({ state: fc.option(state, { freq: 5 }), isPut: fc.boolean() })

/** The changes of one resource that lead through the states; `null` is a deletion. */
function history(steps: readonly { state: JsonObject | null; isPut: boolean }[], path: string): Entry[] {
  const entries: Entry[] = []
  let before: JsonObject | undefined
  for (const { state: next, isPut } of steps) {
    if (next === null && before === undefined) continue
    const seq = entries.length + 1
    const patch = before === undefined || next === null || isPut ? undefined : diffMergePatch(before, next)
    const content =
      next === null
        ? { event: 'deleted' }
        : patch === undefined
          ? { event: before === undefined ? 'created' : 'modified', state: next }
          : { event: 'modified', changes: patch }
    const text = JSON.stringify({ ...content, resource: path, version: seq, id: `p:e:${seq}` })
    entries.push({ seq, resource: path, text })
    before = next ?? undefined
  }
  return entries
}

test('what is conflated leads from every state on the way to the same end', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), fc.nat(), (steps, cut) => {
      const all = history(steps, '/p/1')
      const from = all.length === 0 ? 0 : cut % all.length
      const end = apply({ version: 0, state: undefined }, all)
      const joined = conflate(all.slice(from))
      for (let held = from; held <= all.length; held++) {
        const copy = apply({ version: 0, state: undefined }, all.slice(0, held))
        const reached = apply(copy, joined)
        assert.equal(reached.version, end.version)
        assert.ok(
          isEqualJson(reached.state, end.state),
          `${JSON.stringify(reached.state)} instead of ${JSON.stringify(end.state)} from ${JSON.stringify(joined)}`,
        )
      }
    }),
    { numRuns: 300 },
  )
})

test('a thousand changes of one member become one message, and those of others stay apart and in order', () => {
  const change = (seq: number, path: string, changes: JsonObject): Entry => ({
    seq,
    resource: path,
    text: JSON.stringify({ event: 'modified', changes, resource: path, version: seq, id: `p:e:${seq}` }),
  })
  const entries = [
    change(1, '/p/other', { n: 1 }),
    ...Array.from({ length: 1_000 }, (_, index) => change(index + 2, '/p/1', { progress: index })),
  ]
  const joined = conflate(entries)
  assert.deepEqual(
    joined.map(({ seq, text }) => [seq, JSON.parse(text).changes, JSON.parse(text).id]),
    [
      [1, { n: 1 }, 'p:e:1'],
      [1_001, { progress: 999 }, 'p:e:1001'],
    ],
  )
})

test('two patches that no single patch can say are both kept', () => {
  const entries = history(
    [
      { state: { a: { x: 1 } }, isPut: false },
      { state: { a: 7 }, isPut: false },
      { state: { a: { y: 2 } }, isPut: false },
    ],
    '/p/1',
  )
  assert.equal(conflate(entries.slice(1)).length, 2)
  assert.deepEqual(JSON.parse(conflate(entries)[0]!.text).state, { a: { y: 2 } })
})
