/** JSON Patch by itself: the cases of RFC 6902 and others, hostile names, and what is bounded. */
import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { isLockstepError, type Json, type JsonObject, LockstepError } from '../../src/contract/index.ts'
import { applyJsonPatch, parseJsonPatch } from '../../src/service/json-patch.ts'
import { readCases, titleOf } from '../support/cases.ts'

interface PatchCase {
  readonly original: Json
  readonly patch: Json
  readonly result?: Json
  readonly error?: string
  readonly operation?: number
  readonly pointer?: string
  readonly faults?: readonly string[]
}

const apply = (target: Json, patch: unknown, maxCopiedChars = 1_000): Json | undefined =>
  applyJsonPatch(target, parseJsonPatch(patch as Json), maxCopiedChars)
const parse = (text: string): JsonObject => JSON.parse(text)

function failureOf(work: () => unknown): LockstepError {
  try {
    work()
  } catch (error) {
    if (isLockstepError(error)) return error
    throw error
  }
  assert.fail('it was not refused')
}

test('4.14 patches give what the protocol cases say, and leave original and patch as they are', () => {
  for (const entry of readCases('json-patch') as readonly unknown[] as readonly PatchCase[]) {
    const title = titleOf({ ...entry })
    const { original, patch, error } = structuredClone(entry)
    if (error === undefined) {
      assert.deepEqual(apply(original, patch), entry.result, title)
    } else {
      const { code, faults, extra } = failureOf(() => apply(original, patch))
      assert.equal(code, error, title)
      if (entry.faults === undefined)
        assert.deepEqual(extra, { operation: entry.operation, pointer: entry.pointer }, title)
      else
        assert.deepEqual(
          faults.map(({ pointer }) => pointer),
          entry.faults,
          title,
        )
    }
    assert.deepEqual([original, patch], [entry.original, entry.patch], title)
  }
})

test('4.14 a conflict names the member of the operation that does not fit', () => {
  const conflicts: readonly (readonly [Json, string])[] = [
    [{ op: 'test', path: '/a', value: 2 }, '/0/value'],
    [{ op: 'remove', path: '/b' }, '/0/path'],
    [{ op: 'copy', from: '/b', path: '/c' }, '/0/from'],
    [{ op: 'copy', from: '/a', path: '/b/c' }, '/0/path'],
    [{ op: 'move', from: '/b', path: '/c' }, '/0/from'],
  ]
  for (const [operation, place] of conflicts) {
    const { faults, message } = failureOf(() => apply({ a: 1 }, [operation]))
    assert.deepEqual(
      faults.map(({ pointer }) => pointer),
      [place],
    )
    assert.match(message, /^Operation 0 \(.+\) does not fit the resource: .+ Nothing was changed\./)
  }
})

test('4.14 __proto__ is a member like any other, and nothing of the language can be reached or changed', () => {
  const patched = apply({ a: 1 }, [
    { op: 'add', path: '/__proto__', value: { polluted: true } },
    { op: 'copy', from: '/__proto__', path: '/b' },
    { op: 'add', path: '/__proto__/more', value: 1 },
    { op: 'add', path: '/c', value: parse('{"__proto__":{"x":1},"y":[{"__proto__":2}]}') },
    { op: 'copy', from: '/c', path: '/d' },
    { op: 'replace', path: '/d/__proto__', value: null },
  ])
  assert.equal(
    JSON.stringify(patched),
    '{"a":1,"__proto__":{"polluted":true,"more":1},"b":{"polluted":true},"c":{"__proto__":{"x":1},"y":[{"__proto__":2}]},"d":{"__proto__":null,"y":[{"__proto__":2}]}}',
  )
  assert.equal(Object.getPrototypeOf(patched), Object.prototype)
  const original = parse('{"__proto__":{"x":1},"a":[]}')
  const removed = apply(original, [{ op: 'remove', path: '/__proto__' }])
  assert.equal(JSON.stringify(removed), '{"a":[]}')
  assert.equal(JSON.stringify(original), '{"__proto__":{"x":1},"a":[]}')
  for (const path of ['/__proto__/x', '/constructor/prototype/x', '/a/__proto__/x', '/a/constructor/x'])
    for (const op of ['add', 'replace', 'remove', 'test'])
      assert.equal(
        failureOf(() => apply({ a: [] }, [{ op, path, value: 1 }])).code,
        'patch-conflict',
        `${op} ${path}`,
      )
  assert.equal('x' in {}, false)
  assert.equal('polluted' in {}, false)
})

test('4.14 random patches on random states do the one or the other: a JSON value, or a refusal with a code', () => {
  const name = fc.constantFrom('a', 'b', '0', '1', '-', '', '~0', '~1', '__proto__', 'constructor', 'length')
  const pointer = fc.array(name, { maxLength: 4 }).map(names => names.map(token => `/${token}`).join(''))
  const value = fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json>
  const operation = fc.record({
    op: fc.constantFrom('add', 'remove', 'replace', 'move', 'copy', 'test'),
    path: pointer,
    from: pointer,
    value,
  })
  const key = fc.constantFrom('a', 'b', '0', '', '~', '/', '__proto__', 'constructor')
  const state = fc.letrec<{ value: Json; object: Json }>(tie => ({
    value: fc.oneof({ maxDepth: 3 }, value, tie('object'), fc.array(tie('value'), { maxLength: 3 })),
    object: fc
      .uniqueArray(fc.tuple(key, tie('value')), { selector: ([own]) => own, maxLength: 4 })
      .map(members =>
        parse(`{${members.map(([own, inner]) => `${JSON.stringify(own)}:${JSON.stringify(inner)}`)}}`),
      ),
  })).object
  let applied = 0
  fc.assert(
    fc.property(state, fc.array(operation, { maxLength: 5 }), (target, patch) => {
      const before = JSON.stringify([target, patch])
      try {
        const result = apply(target, patch, 10_000)
        if (result !== undefined) assert.deepEqual(JSON.parse(JSON.stringify(result)), result)
        applied++
      } catch (error) {
        assert.ok(error instanceof LockstepError, String(error))
        assert.ok(['patch-conflict', 'invalid-patch', 'body-too-large'].includes(error.code), error.code)
      }
      assert.equal(JSON.stringify([target, patch]), before)
      assert.deepEqual(Object.keys(Object.prototype), [])
    }),
    { numRuns: 2_000 },
  )
  assert.ok(applied > 300)
})

test('4.14 copies that double are refused before they fill the memory, and so is nesting without end', () => {
  const bomb = Array.from({ length: 1_000 }, (_, index) => ({ op: 'copy', from: '', path: `/c${index}` }))
  assert.equal(failureOf(() => apply({ a: 'x' }, bomb, 1_000_000)).code, 'body-too-large')
  const again = Array.from({ length: 4 }, () => [
    { op: 'copy', from: '/a', path: '/b' },
    { op: 'remove', path: '/b' },
  ]).flat()
  assert.deepEqual(apply({ a: 'x'.repeat(23) }, again, 100), { a: 'x'.repeat(23) })
  assert.equal(failureOf(() => apply({ a: 'x'.repeat(24) }, again, 100)).code, 'body-too-large')
  const nested = (levels: number): Json => parse('{"d":'.repeat(levels) + 1 + '}'.repeat(levels))
  const down = '/d'.repeat(58)
  const deeper = Array.from({ length: 300 }, () => [
    { op: 'add', path: '/t', value: nested(58) },
    { op: 'move', from: '/d', path: `/t${down}` },
    { op: 'move', from: '/t', path: '/d' },
  ]).flat()
  assert.equal(failureOf(() => apply({ d: 1 }, deeper)).code, 'json-too-deep')
  const copied = [...deeper, { op: 'copy', from: '/d', path: '/e' }]
  assert.equal(failureOf(() => apply({ d: 1 }, copied, 1e9)).code, 'json-too-deep')
  assert.ok(apply({ d: 1 }, deeper.slice(0, 3)) !== undefined)
})

test('4.14 comparing large arrays takes no longer than reading them', () => {
  const large = Array.from({ length: 20_000 }, (_, index) => index)
  const other = large.map(number => -number - 1)
  assert.deepEqual(apply({ large }, [{ op: 'test', path: '/large', value: large }]), { large })
  const { code } = failureOf(() => apply({ large }, [{ op: 'test', path: '/large', value: other }]))
  assert.equal(code, 'patch-conflict')
})

test('4.14 a patch has at most 1,000 operations, and tells at most 100 faults', () => {
  const patch = (length: number): Json => Array.from({ length }, () => ({ op: 'test', path: '', value: {} }))
  assert.deepEqual(apply({}, patch(1_000)), {})
  assert.match(failureOf(() => apply({}, patch(1_001))).message, /at most 1000 operations/)
  const faulty = Array.from({ length: 200 }, () => 5)
  assert.equal(failureOf(() => apply({}, faulty)).faults.length, 100)
})
