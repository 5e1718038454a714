/** What the terminal view of `follow` draws, and what it remembers of changes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { JsonObject } from 'lockstep/contract'
import { createFollowMemory, type HeldCopy, markMs } from '../../src/cli/follow-memory.ts'
import {
  type FollowedItem,
  type FollowView,
  renderFollowView,
  type Screen,
} from '../../src/cli/follow-view.ts'
import { paintNothing } from '../../src/cli/terminal.ts'
import { cut, fit, widthOf } from '../../src/cli/text-width.ts'

const screen: Screen = { columns: 60, rows: 12, paint: paintNothing, nowMs: 0 }
const view: FollowView = {
  url: 'http://127.0.0.1:3000/people',
  kind: 'collection',
  status: 'live',
  staleForMs: 0,
  position: 'people:k3f9:4',
  source: 'the feed',
  items: [],
  total: 0,
  news: '',
}
const item = (id: string, state: object, mark?: FollowedItem['mark']): FollowedItem => ({
  id,
  version: 1,
  state: { id, ...state },
  mark,
})

test('a collection is a table; what changed has a sign', () => {
  const items = [
    item('ann', { name: 'Ann', age: 30 }, { event: 'modified', names: new Set(['age']) }),
    item('bob', { name: 'Bob', tags: ['a'] }, { event: 'created', names: new Set() }),
    item('zoe', { name: 'Zoe' }, { event: 'deleted', names: new Set() }),
    item('山田', { name: '山田太郎' }),
  ]
  assert.deepEqual(renderFollowView({ ...view, items, total: 3, news: 'the last change' }, screen), [
    'http://127.0.0.1:3000/people',
    '● live  3 resources  people:k3f9:4  over the feed',
    '',
    '  id    v  name      age  tags ',
    '~ ann   1  Ann       30',
    '+ bob   1  Bob            ["a"]',
    '- zoe   1  Zoe',
    '  山田  1  山田太郎',
    '',
    'the last change',
  ])
})

test('only the changed cells are coloured', () => {
  const items = [item('ann', { name: 'Ann', age: 30 }, { event: 'modified', names: new Set(['age']) })]
  const paint = (_style: unknown, text: string): string => `<${text}>`
  const lines = renderFollowView({ ...view, items, total: 1 }, { ...screen, paint })
  assert.equal(lines[4], '<~> ann  1  Ann   <30>')
})

test('a resource is a table of its members, those that were removed among them', () => {
  const mark = { event: 'modified', names: new Set(['age', 'nick']) } as const
  const items = [item('ann', { name: 'Ann', nick: 'A' }, mark)]
  const lines = renderFollowView({ ...view, kind: 'resource', items, total: 1 }, screen)
  assert.deepEqual(lines.slice(3, -2), [
    '  version   1',
    '  id        ann',
    '  name      Ann',
    '~ nick      A',
    '~ age       (removed)',
  ])
  const none = renderFollowView({ ...view, kind: 'resource' }, screen)
  assert.equal(none[3], 'It does not exist.')
})

test('a stale copy says since when', () => {
  const nowMs = new Date(2026, 0, 31, 12, 0, 30).getTime()
  const [, status] = renderFollowView({ ...view, status: 'stale', staleForMs: 20_000 }, { ...screen, nowMs })
  assert.match(status!, /^● stale since 12:00:10 \(20 s\)/)
})

test('what does not fit is counted: rows below, columns beside', () => {
  const wide = Object.fromEntries(Array.from({ length: 9 }, (_, index) => [`member${index}`, 'x'.repeat(12)]))
  const items = Array.from({ length: 20 }, (_, index) => item(`id${index}`, wide))
  const lines = renderFollowView({ ...view, items, total: 50 }, screen)
  assert.equal(lines.length, 12)
  assert.match(lines[3]!, / \+6$/)
  assert.equal(lines[9], '  … and 45 more')
})

test('every line fits any screen, and nothing in a state can steer it', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 30 })
  const state = fc.dictionary(text, fc.jsonValue({ maxDepth: 2 }), { maxKeys: 6 })
  const mark = fc.option(
    fc.record({
      event: fc.constantFrom('created', 'modified', 'deleted'),
      names: fc.constant(new Set(['a'])),
    }),
    { nil: undefined },
  )
  const items = fc.array(fc.record({ id: text, version: fc.nat(), state, mark }), { maxLength: 30 })
  const size = fc.record({ columns: fc.integer({ min: 8, max: 120 }), rows: fc.integer({ min: 6, max: 40 }) })
  fc.assert(
    fc.property(items, fc.constantFrom('collection', 'resource'), size, text, (items, kind, size, news) => {
      const all = { ...view, kind, items: items as unknown as FollowedItem[], total: items.length, news }
      const lines = renderFollowView(all as FollowView, { ...screen, ...size })
      assert.ok(lines.length <= size.rows)
      for (const line of lines) {
        assert.ok(
          widthOf(line) <= size.columns,
          `${widthOf(line)} > ${size.columns}: ${JSON.stringify(line)}`,
        )
        // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
        assert.doesNotMatch(line, /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/)
      }
    }),
  )
})

test('a change is marked for a moment, a deleted row stays for as long', () => {
  const memory = createFollowMemory()
  const states = new Map<string, JsonObject>([
    ['ann', { id: 'ann', age: 30 }],
    ['zoe', { id: 'zoe' }],
  ])
  const copy: HeldCopy = { states, versionOf: () => 2 }
  const marks = (nowMs: number): unknown[] =>
    memory.list(copy, 10, nowMs).map(({ id, mark }) => [id, mark?.event])
  memory.take(
    {
      event: 'modified',
      id: 'ann',
      version: 2,
      state: { id: 'ann', age: 30 },
      previous: { id: 'ann', age: 29, nick: 'A' },
    },
    0,
  )
  assert.deepEqual(memory.list(copy, 10, 1)[0]?.mark?.names, new Set(['age', 'nick']))
  states.delete('zoe')
  memory.take({ event: 'deleted', id: 'zoe', version: 3, state: undefined, previous: { id: 'zoe' } }, 1_000)
  assert.deepEqual(marks(1_000), [
    ['ann', 'modified'],
    ['zoe', 'deleted'],
  ])
  assert.equal(memory.nextEndMs(), markMs)
  assert.deepEqual(marks(markMs), [
    ['ann', undefined],
    ['zoe', 'deleted'],
  ])
  assert.deepEqual(marks(markMs + 1_000), [['ann', undefined]])
  assert.equal(memory.nextEndMs(), undefined)
})

test('where not all rows fit, those that changed last come first', () => {
  const memory = createFollowMemory()
  const states = new Map(Array.from({ length: 100 }, (_, index) => [`p${index}`, { id: `p${index}` }]))
  const copy: HeldCopy = { states, versionOf: () => 1 }
  for (const id of ['p70', 'p80', 'p70']) {
    memory.take({ event: 'modified', id, version: 1, state: { id }, previous: { id } }, 0)
  }
  assert.deepEqual(
    memory.list(copy, 4, 0).map(({ id }) => id),
    ['p70', 'p80', 'p0', 'p1'],
  )
  assert.deepEqual(
    memory.list(copy, 4, markMs * 9).map(({ id }) => id),
    ['p70', 'p80', 'p0', 'p1'],
  )
})

test('texts are cut and filled by columns, not by characters', () => {
  assert.equal(widthOf('山田 é 🍣'), 9)
  assert.equal(widthOf('e\u0301'), 1)
  assert.equal(cut('山田太郎', 5), '山田…')
  assert.equal(cut('山田', 4), '山田')
  assert.equal(cut('abc', 0), '')
  assert.equal(fit('山', 4), '山  ')
})
