/** Views as functions of states: what is shown, and that the changes of a view lead to the view of the changed. */
import assert from 'node:assert/strict'
import test from 'node:test'
import type { Change } from '../../src/client/change.ts'
import { type Conditions, readConditions } from '../../src/client/conditions.ts'
import { applyMessage, createCopy } from '../../src/client/copy.ts'
import { View, type ViewOptions } from '../../src/client/view.ts'
import { ViewedStates } from '../../src/client/viewed-states.ts'
import {
  applyMergePatch,
  type ChangeMessage,
  diffMergePatch,
  isLockstepError,
  type Json,
  type JsonObject,
  type LockstepError,
  type Texts,
} from '../../src/contract/index.ts'
import { mulberry32 } from './follower-world.ts'

const texts: Texts = { languages: ['en', 'fr'], places: [['title'], ['seo', 'summary']] }

function refusal(action: () => unknown): LockstepError {
  try {
    action()
  } catch (error) {
    assert.ok(isLockstepError(error), String(error))
    return error
  }
  return assert.fail('it is not refused')
}

test('conditions mean what they mean in a query', () => {
  const conditions = { status: 'open', 'age:gte': 18, 'a/b': null, 'n:ne': true, 'id:in': ['a,b', '50%', 3] }
  assert.deepEqual(readConditions(conditions), [
    { path: ['status'], operator: 'eq', operands: ['open'] },
    { path: ['age'], operator: 'gte', operands: ['18'] },
    { path: ['a', 'b'], operator: 'eq', operands: ['null'] },
    { path: ['n'], operator: 'ne', operands: ['true'] },
    { path: ['id'], operator: 'in', operands: ['a,b', '50%', '3'] },
  ])
})

test('a view that cannot be is refused, and says why', () => {
  const faults: [ViewOptions, RegExp][] = [
    [{ where: { 'age:over': 1 } }, /condition "age:over" cannot be used: .*known operator/],
    [{ where: { '/address/city': 'Oslo' } }, /names no member.*"address\/city"/],
    [{ where: { status: ['open'] } }, /is an array\. Give a string/],
    [{ where: { 'status:in': 'open' } }, /is the text "open"\. Give an array/],
    [{ where: { 'status:in': [] } }, /has 0 values/],
    [{ where: { 'id:in': Array.from({ length: 201 }, (_, index) => index) } }, /has 201 values/],
    [{ where: { age: Number.NaN } }, /is NaN/],
    [{ where: { address: { city: 'Oslo' } as never } }, /is an object/],
    [{ where: new Map() as never }, /an object of another kind/],
    [{ where: Object.fromEntries(Array.from({ length: 21 }, (_, n) => [`m${n}`, 1])) }, /21 conditions/],
    [{ fields: 'name,' }, /fields cannot be used/],
    [{ fields: [1] as never }, /fields is an array/],
    [{ lang: '' }, /lang is the text ""/],
    [{ lang: 4 as never }, /lang is 4/],
  ]
  for (const [options, message] of faults) {
    const error = refusal(() => new View(options))
    assert.equal(error.code, 'invalid-option')
    assert.match(error.message, message)
  }
})

test('a language is chosen by lookup once the texts are known, then in the default, then as there is', () => {
  const state = {
    id: 'a',
    title: { en: 'Bread', fr: 'Pain' },
    seo: { summary: { fr: 'Du pain' } },
    note: { en: 'x' },
  }
  const view = new View({ lang: 'fr-CH, de;q=0.5' })
  assert.deepEqual(view.show(state), state)
  assert.equal(view.learn(texts), true)
  assert.equal(view.learn({ ...texts }), false)
  assert.deepEqual(view.show(state), { ...state, title: 'Pain', seo: { summary: 'Du pain' } })
  const other = new View({ lang: 'it' })
  other.learn(texts)
  assert.deepEqual(other.show(state), { ...state, title: 'Bread', seo: { summary: 'Du pain' } })
  const all = new View({ lang: '*' })
  assert.equal(all.learn(texts), false)
  assert.equal(all.show(state), state)
})

test('one state is shown by one object, so that it can be compared', () => {
  const state = { id: 'a', name: 'Ann', age: 3 }
  const view = new View({ fields: ['name'] })
  assert.equal(view.show(state), view.show(state))
})

function pick<T>(random: () => number, values: readonly T[]): T {
  return values[Math.floor(random() * values.length)]!
}

function randomState(random: () => number, id: string): JsonObject {
  const state: JsonObject = { id }
  const text = (): Json =>
    pick<Json>(random, [{ en: 'b' }, { fr: 'p' }, { en: 'b', fr: pick(random, ['p', 'q']) }, 'plain'])
  const members: Record<string, () => Json> = {
    status: () => pick(random, ['open', 'closed', null]),
    age: () => pick(random, [3, 17, 18, 19, '18']),
    title: text,
    seo: () => pick<() => Json>(random, [() => ({ summary: text() }), () => 3])(),
    list: () => [{ a: pick(random, [1, 2]), b: pick(random, [1, 2]) }, 5],
    deep: () => pick<Json>(random, [{ x: { y: 1, z: 2 } }, { x: { y: null } }, { x: [] }, 'none']),
  }
  for (const [name, make] of Object.entries(members)) if (random() < 0.7) state[name] = make()
  return state
}

function randomOptions(random: () => number): ViewOptions {
  const fields = ['status', 'title', 'age,list/a', 'seo/summary', 'deep/x/y,title/fr', 'list']
  const where: Conditions[] = [
    { status: 'open' },
    { 'age:gte': 18 },
    { 'status:ne': 'open', 'deep:exists': true },
    { 'title/fr': 'p' },
  ]
  return {
    ...(random() < 0.6 ? { fields: pick(random, fields) } : {}),
    ...(random() < 0.6 ? { where: pick(random, where) } : {}),
    ...(random() < 0.6 ? { lang: pick(random, ['fr', 'en', 'de']) } : {}),
  }
}

/** The next change of one of few resources, as a service would tell it. */
function randomMessage(
  random: () => number,
  states: ReadonlyMap<string, JsonObject>,
  seq: number,
): ChangeMessage {
  const id = pick(random, ['a', 'b', 'c', 'd'])
  const before = states.get(id)
  const base = { resource: `/people/${id}`, version: seq, time: '', cause: '', id: `people:e:${seq}` }
  if (before === undefined) return { ...base, event: 'created', state: randomState(random, id) }
  if (random() < 0.15) return { ...base, event: 'deleted' }
  const state = random() < 0.5 ? { ...before, other: seq } : randomState(random, id)
  return { ...base, event: 'modified', state }
}

test('for random changes and views, what the changes of a view lead to is the view of what the changes lead to', () => {
  const seen = { created: 0, modified: 0, deleted: 0, nothing: 0, unsaid: 0 }
  for (let seed = 1; seed <= 300; seed++) {
    const random = mulberry32(seed)
    const view = new View(randomOptions(random))
    view.learn(texts)
    const copy = createCopy()
    const viewed = new ViewedStates(copy, view)
    const shown = new Map<string, JsonObject>()
    for (let seq = 1; seq <= 60; seq++) {
      const message = randomMessage(random, copy.states, seq)
      const id = message.resource.slice('/people/'.length)
      const outcome = applyMessage(copy, id, message, { seq, isLatest: true })
      assert.equal(typeof outcome, 'object')
      viewed.changed()
      const change = view.change({
        path: message.resource,
        position: message.id,
        cause: '',
        ...(outcome as object),
      } as Change<JsonObject>)
      seen[change?.event === 'refreshed' ? 'nothing' : (change?.event ?? 'nothing')]++
      if (change !== undefined) {
        assert.deepEqual(change.previous, shown.get(id))
        if (change.state === undefined) shown.delete(id)
        else shown.set(id, change.state)
      }
      if (change?.event === 'modified') {
        assert.notDeepEqual(change.state, change.previous)
        if (change.changes === undefined) seen.unsaid++
        else assert.deepEqual(applyMergePatch(change.previous, change.changes), change.state)
        assert.deepEqual(change.changes, diffMergePatch(change.previous, change.state))
      }
      assert.deepEqual(new Map(viewed), shown)
      assert.equal(viewed.size, shown.size)
      assert.deepEqual([viewed.has(id), viewed.get(id)], [shown.has(id), shown.get(id)])
    }
  }
  for (const [what, count] of Object.entries(seen)) assert.ok(count > 50, `${what}: ${count}`)
})
