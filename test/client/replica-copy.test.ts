/** A copy in a file against the copy in memory: the same outcomes, whatever happens and however often it is opened. */
import assert from 'node:assert/strict'
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import {
  applyMessage,
  buryResource,
  type Copy,
  createCopy,
  type Difference,
  pruneTombstones,
} from '../../src/client/copy.ts'
import { StoredCopy } from '../../src/client/replica-copy.ts'
import { openReplicaFile, type ReplicaFile } from '../../src/client/replica-file.ts'
import type { ChangeMessage, JsonObject } from '../../src/contract/index.ts'

const folder = mkdtempSync(join(tmpdir(), 'lockstep-replica-copy-'))
after(() => rmSync(folder, { recursive: true }))
let files = 0
const newFile = (): string => join(folder, `${++files}.db`)
const open = (file: string): ReplicaFile =>
  openReplicaFile({ file, api: 'http://a/', path: '/people', indexes: [] })

const id = fc.constantFrom('a', 'b', 'ö/"', '😀', '\uffee')
const version = fc.integer({ min: 1, max: 6 })
const seq = fc.integer({ min: 1, max: 30 })
const state = fc.record(
  { v: fc.integer({ min: 0, max: 2 }), deep: fc.option(fc.constant({ x: null })) },
  { noNullPrototype: true },
)
type Act = (copy: Copy) => unknown
const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc
      .record({
        id,
        version,
        seq,
        event: fc.constantFrom('created', 'modified', 'deleted'),
        content: fc.oneof(
          state.map(value => ({ state: value })),
          state.map(value => ({ changes: value })),
        ),
        isLatest: fc.boolean(),
      })
      .map(({ id, event, version, seq, content, isLatest }): Act => {
        const message = { event, version, resource: '', id: '', ...(event === 'deleted' ? {} : content) }
        return copy => applyMessage(copy, id, message as unknown as ChangeMessage, { seq, isLatest })
      }),
  },
  fc.tuple(id, version, seq, fc.boolean()).map(
    ([id, version, seq, exact]): Act =>
      copy =>
        buryResource(copy, id, { version, seq, exact }),
  ),
  seq.map(
    (position): Act =>
      copy =>
        pruneTombstones(copy, position),
  ),
)
interface Baseline {
  readonly items: readonly { readonly id: string; readonly version: number; readonly state: JsonObject }[]
  readonly seq: number
  readonly isSameEpoch: boolean
}
const baseline: fc.Arbitrary<Baseline> = fc.record({
  items: fc.uniqueArray(fc.record({ id, version, state: state as fc.Arbitrary<JsonObject> }), {
    selector: item => item.id,
  }),
  seq,
  isSameEpoch: fc.boolean(),
})
type Move = { act: Act } | { baseline: Baseline } | { restart: 'closed' | 'killed' }
const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 8, arbitrary: act.map(value => ({ act: value })) },
  { weight: 2, arbitrary: baseline.map(value => ({ baseline: value })) },
  fc.constantFrom('closed' as const, 'killed' as const).map(restart => ({ restart })),
)

const place = { epoch: 'e1', position: 1, cursor: 1, ahead: 1, confirmedMs: 1 }

function look({ states, versions, tombstones }: Copy): object {
  assert.equal(states.size, versions.size)
  assert.equal(states.size, [...states.keys()].length)
  const sorted = <V>(map: ReadonlyMap<string, V>): [string, V][] =>
    [...map].sort(([a], [b]) => (a < b ? -1 : 1))
  return { states: sorted(states), versions: sorted(versions), tombstones: sorted(tombstones) }
}

const byId = (a: Difference, b: Difference): number => (a.id < b.id ? -1 : 1)

function install(copy: Copy, { items, seq: at, isSameEpoch }: Baseline): readonly Difference[] {
  const content = copy.beginContent()
  for (const item of items) content.add([item])
  const differences = content.install(at, isSameEpoch)
  assert.ok(differences !== 'many')
  return [...differences].sort(byId)
}

test('the copy in a file does what the copy in memory does, over restarts and kills', () => {
  const property = fc.property(fc.array(move, { maxLength: 40 }), moves => {
    let file = newFile()
    let opened = open(file)
    let stored = new StoredCopy(opened.opened, file)
    const memory = createCopy()
    for (const one of moves) {
      if ('act' in one) assert.deepEqual(one.act(stored), one.act(memory))
      else if ('baseline' in one) {
        stored.save(place)
        assert.deepEqual(install(stored, one.baseline), install(memory, one.baseline))
      } else {
        stored.save(place)
        if (one.restart === 'closed') opened.close()
        else {
          const next = newFile()
          for (const part of ['', '-wal']) {
            if (existsSync(file + part)) copyFileSync(file + part, next + part)
          }
          opened.close()
          file = next
        }
        opened = open(file)
        stored = new StoredCopy(opened.opened, file)
      }
    }
    for (const one of ['a', 'b', 'ö/"', '😀', '\uffee']) {
      assert.deepEqual(stored.states.get(one), memory.states.get(one))
      assert.equal(stored.versions.get(one), memory.versions.get(one))
    }
    assert.deepEqual(look(stored), look(memory))
    const ids = [...stored.states.keys()]
    assert.deepEqual(
      ids,
      ids.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
    )
    stored.save(place)
    assert.deepEqual([...stored.states.keys()], ids)
    while (stored.hasRest) stored.sweep()
    const rows = opened.opened.database.prepare('SELECT count(*) AS count FROM lockstep_row').get()
    assert.equal(rows!['count'], memory.states.size, 'no row is left of what is not shown')
    opened.close()
  })
  fc.assert(property, { numRuns: 150, seed: 1 })
})

test('what was not saved is not there after a kill, neither rows nor the place', () => {
  const file = newFile()
  const opened = open(file)
  const copy = new StoredCopy(opened.opened, file)
  copy.put('a', 1, { v: 1 })
  copy.save({ ...place, position: 5 })
  copy.put('a', 2, { v: 2 })
  copy.put('b', 1, {})
  const content = copy.beginContent()
  content.add([{ id: 'z', version: 9, state: {} }])
  const image = newFile()
  for (const part of ['', '-wal']) copyFileSync(file + part, image + part)
  opened.close()
  const again = open(image)
  const restored = new StoredCopy(again.opened, image)
  assert.deepEqual([again.opened.place?.position, [...restored.states]], [5, [['a', { v: 1 }]]])
  again.close()
})

test('more differences than can be told one by one are many', () => {
  const file = newFile()
  const opened = open(file)
  const copy = new StoredCopy(opened.opened, file)
  const items = (count: number, v: number): { id: string; version: number; state: JsonObject }[] =>
    Array.from({ length: count }, (_, index) => ({ id: `p${index}`, version: v, state: { v } }))
  const replace = (count: number, v: number): number | 'many' => {
    const content = copy.beginContent()
    content.add(items(count, v))
    const differences = content.install(v, true)
    copy.save(place)
    return differences === 'many' ? 'many' : differences.length
  }
  assert.equal(replace(1_500, 1), 'many')
  assert.equal(copy.states.size, 1_500)
  assert.equal(replace(1_500, 2), 'many')
  assert.equal(replace(499, 2), 'many')
  assert.equal(copy.tombstones.size, 1_001)
  assert.equal(replace(499, 3), 499)
  opened.close()
})

test('changes during an iteration are seen where they lie ahead, and nothing is seen twice', () => {
  const file = newFile()
  const opened = open(file)
  const copy = new StoredCopy(opened.opened, file)
  const name = (index: number): string => `p${String(index).padStart(4, '0')}`
  for (let index = 0; index < 1_000; index++) copy.put(name(index), 1, { index })
  const seen: string[] = []
  for (const [one, value] of copy.states) {
    seen.push(`${one} ${JSON.stringify(value)}`)
    if (one === name(300)) {
      copy.put(name(301), 2, { index: -1 })
      copy.remove(name(302))
      copy.put(name(10), 2, {})
      copy.put(`${name(303)}x`, 1, { index: -2 })
    }
  }
  assert.equal(seen.length, 1_000)
  assert.deepEqual(seen.slice(301, 304), [
    `${name(301)} {"index":-1}`,
    `${name(303)} {"index":303}`,
    `${name(303)}x {"index":-2}`,
  ])
  opened.close()
})

test('an iteration that another database takes the place under ends with an error, not as if it were whole', () => {
  const [file, other] = [newFile(), newFile()]
  const [opened, next] = [open(file), open(other)]
  const copy = new StoredCopy(opened.opened, file)
  for (let index = 0; index < 500; index++) copy.put(`p${index}`, 1, { index })
  copy.save(place)
  for (const iterate of [() => copy.states.values(), () => copy.versions.values()]) {
    copy.open(opened.opened)
    const states = iterate()
    assert.equal(states.next().done, false)
    copy.open(next.opened)
    assert.throws(() => [...states], /was damaged and replaced while it was being read/)
    assert.deepEqual([copy.states.size, [...copy.states]], [0, []])
  }
  opened.close()
  next.close()
})

test('a file that is damaged a second time is left, and the copy goes on in memory', () => {
  const file = newFile()
  const opened = open(file)
  assert.match(opened.renew().message, /was damaged\. It lies in /)
  new StoredCopy(opened.opened, file).save(place)
  assert.match(opened.renew().message, /was damaged and cannot be replaced: .*goes on in memory/)
  const copy = new StoredCopy(opened.opened, file)
  copy.put('a', 1, {})
  copy.save(place)
  assert.deepEqual([...copy.states], [['a', {}]])
  opened.close()
  const again = open(file)
  assert.equal(again.opened.size, 0)
  again.close()
})
