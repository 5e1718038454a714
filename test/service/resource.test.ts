/** Declarations of resources: templates, schemas, faults, ids and types. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { Settings } from 'typebox/system'
import { isLockstepError, type JsonObject } from '../../src/contract/index.ts'
import { createRequestId, createTimeSortableId, isRequestId } from '../../src/service/id.ts'
import { type ApiOf, defineResource, type StateOf } from '../../src/service/resource.ts'
import { friends, likes, people } from '../support/service.ts'

const refuses = (declare: () => unknown, message: RegExp): void =>
  assert.throws(declare, error => isLockstepError(error, 'invalid-option') && message.test(error.message))
const object = { type: 'object' } as const
const parse = (text: string): JsonObject => JSON.parse(text)

test('a template gives the names of the collections on the way', () => {
  assert.deepEqual(
    [people.route, friends.route, likes.route],
    ['people', 'people/friends', 'people/friends/likes'],
  )
  assert.equal(defineResource('a-1_B/{x}/c2', { schema: object }).route, 'a-1_B/c2')
})

test('a template that is no alternation of collections and ids is refused', () => {
  const templates = [
    '',
    '/',
    '/people',
    'people/',
    'people/{id}',
    'people/friends',
    '{people}',
    'people/{}/friends',
    'people/{a b}/friends',
    'people/{person}/{friends}',
    'people/person/friends',
    '_changes',
    'people/{person}/_private',
    'péople',
    'peo ple',
    'people.json',
    'people%20',
    '.',
    'people/+/friends',
    '#',
    `${'a/{b}/'.repeat(8)}c`,
    'x'.repeat(513),
  ]
  for (const template of templates)
    assert.throws(() => defineResource(template, { schema: object }), /cannot be used/, template)
})

test('3.8 a collection at the top cannot have the name that the heads’ topics begin with', () => {
  refuses(() => defineResource('lockstep', { schema: object }), /named "lockstep"/)
  refuses(() => defineResource('lockstep/{x}/head', { schema: object }), /named "lockstep"/)
  for (const template of ['Lockstep', 'lockstep-2', 'people/{person}/lockstep'])
    assert.equal(defineResource(template, { schema: object }).template, template)
})

test('2.4 a nested collection is placed by its parents’ ids, written canonically', () => {
  assert.equal(friends.in('john@home').path, '/people/john%40home/friends')
  assert.equal(likes.in('a/b', 'e\u0301').path, '/people/a%2Fb/friends/%C3%A9/likes')
  assert.equal(people.in().path, '/people')
  refuses(() => friends.in(), /needs 1 parent ids, not 0/)
  refuses(() => people.in('a'), /needs 0 parent ids, not 1/)
  for (const id of ['', '..', '_x', '\n'])
    assert.throws(
      () => friends.in(id),
      error => isLockstepError(error, 'invalid-path'),
    )
})

test('a schema that is none is refused where it is declared, with the place', () => {
  const declare = (schema: unknown) => () => defineResource('people', { schema: schema as object })
  refuses(
    declare(undefined),
    /The schema of "people" is missing\. Give one; \{ type: 'object' \} takes any object/,
  )
  refuses(declare(null), /not an object/)
  refuses(declare([]), /not an object/)
  refuses(declare(5), /not an object/)
  refuses(
    declare(() => {}),
    /not JSON/,
  )
  refuses(declare({ default: 1n }), /not JSON/)
  refuses(declare({ type: 'strng' }), /\/type must be equal to one of/)
  refuses(declare({ type: 'array' }), /its type is "array"; a representation is an object/)
  refuses(declare({ properties: 5 }), /\/properties must be object/)
  refuses(declare({ required: 'name' }), /\/required must be array/)
  refuses(declare({ properties: { name: { type: 'strng' } } }), /\/properties\/name\/type/)
  refuses(
    declare({ properties: { name: { minLength: 'x' } } }),
    /\/properties\/name\/minLength must be integer/,
  )
  refuses(declare({ properties: { name: { pattern: '(' } } }), /\/properties\/name\/pattern/)
  refuses(declare({ properties: { id: { type: 'integer' } } }), /"id" cannot be a string/)
  refuses(declare({ properties: { id: false } }), /"id" cannot be a string/)
})

test('a reference to what is not in the schema is refused; one within it holds', () => {
  const define = (schema: object): unknown => defineResource('p', { schema: schema as typeof object })
  for (const $ref of ['#/$defs/nothing', '#nowhere', 'https://example.com/other.json', 'Other'])
    refuses(
      () => define({ type: 'object', properties: { a: { $ref } } }),
      /refers to ".+", which is not in it/,
    )
  const $defs = { 'a/b': { $anchor: 'here', type: 'integer' } }
  for (const $ref of ['#/$defs/a~1b', '#here']) {
    const resource = defineResource('p', {
      schema: { type: 'object', $defs, properties: { a: { $ref }, $ref: { type: 'string' } } },
    })
    assert.deepEqual(resource.validate({ id: '1', a: 1, $ref: 'x' }), [], $ref)
    assert.equal(resource.validate({ id: '1', a: 'x' }).length, 1, $ref)
  }
  define({ type: 'object', properties: { self: { $ref: '#' } }, default: { $ref: 'data' } })
})

test('options that are no counts are refused', () => {
  refuses(() => defineResource('p', { schema: object, maxBodyBytes: 0 }), /maxBodyBytes of "p" is "0"/)
  refuses(() => defineResource('p', { schema: object, pageSize: 1_001 }), /from 1 to 1000/)
  refuses(() => defineResource('p', { schema: object, pageSize: Number.NaN }), /pageSize/)
})

test('options that are not known, and what is no declaration, are refused', () => {
  const misspelt = { schema: object, pagesize: 3 } as { schema: typeof object }
  refuses(() => defineResource('p', misspelt), /no option "pagesize"\. Known: schema, /)
  const define = defineResource as unknown as (...values: unknown[]) => unknown
  refuses(() => define('people'), /undefined where its options go/)
  refuses(() => define({ schema: object }), /path of a resource is an object/)
})

test('a closed schema takes the id without declaring it; a declared id keeps its restrictions', () => {
  const closed = defineResource('p', { schema: { type: 'object', additionalProperties: false } })
  assert.deepEqual(closed.validate({ id: 'a' }), [])
  const strict = defineResource('p', {
    schema: { properties: { id: { type: 'string', pattern: '^[a-z]+$' } } },
  })
  assert.equal(strict.validate({ id: 'A' })[0]?.pointer, '/id')
})

test('faults name the member at fault by its JSON Pointer', () => {
  const resource = defineResource('p', {
    schema: {
      required: ['name', 'a/b', 'c~d'],
      properties: {
        'a/b': { type: 'object', required: ['in~ner'], properties: { n: { minimum: 3 } } },
        list: {
          items: { type: 'object', additionalProperties: false, properties: { x: { type: 'number' } } },
        },
        mail: { type: 'string', format: 'email' },
        kind: { enum: ['a', 'b'] },
        never: false,
        ref: { $ref: '#/$defs/short' },
      },
      $defs: { short: { maxLength: 2 } },
    },
  })
  const pointers = (state: JsonObject): string[] => resource.validate(state).map(({ pointer }) => pointer)
  const whole = { id: '1', name: '', 'a/b': { 'in~ner': 1 }, 'c~d': 1 }
  assert.deepEqual(pointers(whole), [])
  assert.deepEqual(resource.validate({ id: '1' }), [
    { pointer: '/name', detail: 'is required' },
    { pointer: '/a~1b', detail: 'is required' },
    { pointer: '/c~0d', detail: 'is required' },
  ])
  assert.deepEqual(pointers({ ...whole, 'a/b': { n: 1 } }), ['/a~1b/in~0ner', '/a~1b/n'])
  assert.deepEqual(resource.validate({ ...whole, list: [{}, { x: 'y', 'z/~': 1 }] }), [
    { pointer: '/list/1/z~1~0', detail: 'is not a known member' },
    { pointer: '/list/1/x', detail: 'must be number' },
  ])
  assert.deepEqual(pointers({ ...whole, mail: 'nobody', kind: 'c', ref: 'long' }), ['/mail', '/kind', '/ref'])
  assert.deepEqual(resource.validate({ ...whole, never: 1 }), [
    { pointer: '/never', detail: 'is not allowed' },
  ])
})

test('faults of combined schemas are there too', () => {
  const resource = defineResource('p', {
    schema: {
      unevaluatedProperties: false,
      properties: { id: true, size: { oneOf: [{ type: 'string' }, { type: 'number' }] } },
      dependentRequired: { size: ['unit'] },
    },
  })
  const faults = resource.validate({ id: '1', size: true, more: 1 })
  assert.ok(faults.some(({ pointer }) => pointer === '/size'))
  assert.ok(faults.some(({ pointer, detail }) => pointer === '/more' && detail === 'is not a known member'))
  assert.ok(faults.some(({ detail }) => detail.includes('unit')))
  const impossible = defineResource('p', { schema: { not: {} } })
  assert.equal(impossible.validate({ id: '1' }).length, 1)
})

test('a state with many faults gives the first 100 and leaves the limit of others as it was', () => {
  const { maxErrors } = Settings.Get()
  const closed = defineResource('p', {
    schema: { additionalProperties: false, properties: { list: { items: { type: 'number' } } } },
  })
  assert.equal(closed.validate({ id: '1', list: Array(5_000).fill('x') }).length, 100)
  const many = Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`m${index}`, 1]))
  assert.equal(closed.validate({ id: '1', ...many }).length, 100)
  assert.equal(Settings.Get().maxErrors, maxErrors)
})

test('members named __proto__ and constructor are members like any other', () => {
  const resource = defineResource('p', { schema: { required: ['__proto__', 'constructor'] } })
  assert.deepEqual(
    resource.validate({ id: '1' }).map(({ pointer }) => pointer),
    ['/__proto__', '/constructor'],
  )
  assert.deepEqual(resource.validate(parse('{"id":"1","__proto__":1,"constructor":2}')), [])
  const typed = defineResource('p', { schema: parse('{"properties":{"__proto__":{"type":"string"}}}') })
  assert.deepEqual(typed.validate({ id: '1' }), [])
  assert.equal(typed.validate(parse('{"id":"1","__proto__":5}'))[0]?.pointer, '/__proto__')
  const closed = defineResource('p', { schema: { additionalProperties: false } })
  assert.equal(closed.validate(parse('{"id":"1","__proto__":{"a":1}}'))[0]?.pointer, '/__proto__')
})

test('a schema is taken as it was declared: changing the object later changes nothing', () => {
  const properties: Record<string, object> = { name: { type: 'string' } }
  const resource = defineResource('p', { schema: { properties } as object })
  properties['name'] = { type: 'number' }
  assert.deepEqual(resource.validate({ id: '1', name: 'Ann' }), [])
})

test('made ids are 26 plain characters and sort by time', () => {
  const ids = [0, 1, 31, 32, 1_700_000_000_000, 1_700_000_000_001, 2 ** 48].map(createTimeSortableId)
  for (const id of ids) assert.match(id, /^[0-9a-hjkmnp-tv-z]{26}$/)
  assert.deepEqual(ids.toSorted(), ids)
  assert.equal(new Set(Array.from({ length: 1_000 }, () => createTimeSortableId(5))).size, 1_000)
})

test('4.11 request ids are 1 to 128 visible ASCII characters', () => {
  assert.ok(isRequestId(createRequestId()))
  assert.ok(isRequestId('x'.repeat(128)) && isRequestId('~!"{}'))
  for (const text of ['', 'x'.repeat(129), 'a b', 'a\n', 'é', '\u007f'])
    assert.equal(isRequestId(text), false, text)
})

/** Fails to compile where the types are not the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : never
type Flat<T> = T extends object ? { [Name in keyof T]: T[Name] } : T
const isSame = <A, B>(same: Same<A, B>): void => assert.equal(same, true)

test('ApiOf is the type of an API by its templates, as followers take it', () => {
  type Api = ApiOf<[typeof people, typeof friends]>
  const api: Same<keyof Api, 'people' | 'people/{person}/friends'> = true
  const state: Same<Api['people/{person}/friends'], StateOf<typeof friends>> = true
  assert.ok(api && state)
})

test('StateOf is the type of the representations', () => {
  type Person = StateOf<typeof person>
  const person = defineResource('people', {
    schema: {
      type: 'object',
      required: ['name', 'kind'],
      properties: {
        name: { type: 'string' },
        kind: { enum: ['friend', 'colleague'] },
        one: { const: 1 },
        age: { type: 'integer' },
        tags: { type: 'array', items: { type: 'string' } },
        address: { type: 'object', required: ['city'], properties: { city: { type: 'string' } } },
        note: { type: ['string', 'null'] },
      },
    },
  })
  isSame<
    Flat<Person>,
    {
      id: string
      name: string
      kind: 'friend' | 'colleague'
      one?: 1
      age?: number
      tags?: string[]
      address?: { city: string }
      note?: string | null
    }
  >(true)
  const closed = defineResource('closed', {
    schema: {
      type: 'object',
      additionalProperties: false,
      required: ['a'],
      properties: { a: { type: 'number' } },
    },
  })
  isSame<Flat<StateOf<typeof closed>>, { id: string; a: number }>(true)
  const counts = defineResource('counts', {
    schema: { type: 'object', additionalProperties: { type: 'number' } },
  })
  const value: StateOf<typeof counts>[string] = 5
  assert.equal(value, 5)
  const either = defineResource('either', {
    schema: {
      anyOf: [
        { type: 'object', required: ['a'], properties: { a: { type: 'string' } } },
        { type: 'object', required: ['b'], properties: { b: { type: 'number' } } },
      ],
    },
  })
  isSame<Flat<StateOf<typeof either>>, { id: string; a: string } | { id: string; b: number }>(true)
  isSame<StateOf<string>, never>(true)
})
