/** Which members a schema knows. */
import assert from 'node:assert/strict'
import test from 'node:test'
import type { JsonObject } from '../../src/contract/index.ts'
import { defineResource } from '../../src/service/resource.ts'
import { findItems, findMember, listNames, typesOf } from '../../src/service/schema-member.ts'

const schemaOf = (schema: object): Readonly<JsonObject> => defineResource('x', { schema }).schema
const knows = (schema: object, path: string): boolean =>
  findMember(schemaOf(schema), path.split('/')).length > 0
const text = { type: 'string' }

test('what is declared is known, and beside it nothing', () => {
  const schema = {
    properties: { name: text, address: { type: 'object', properties: { city: text } }, never: false },
  }
  for (const path of ['id', 'name', 'address', 'address/city']) assert.ok(knows(schema, path), path)
  for (const path of [
    'nmae',
    'name/x',
    'address/zip',
    'never',
    'constructor',
    '__proto__',
    'toString',
    'id/x',
  ])
    assert.ok(!knows(schema, path), path)
  assert.deepEqual(listNames(schemaOf(schema), []), ['name', 'address', 'never', 'id'])
  assert.deepEqual(listNames(schemaOf(schema), ['address']), ['city'])
})

test('where no member is declared, or others are told of, any name is known', () => {
  assert.ok(knows({ type: 'object' }, 'anything/at/all'))
  assert.ok(knows({ properties: { extra: { type: 'object' } } }, 'extra/anything'))
  assert.ok(knows({ properties: { extra: true } }, 'extra/anything'))
  assert.ok(knows({ properties: { name: text }, additionalProperties: true }, 'other'))
  assert.ok(knows({ properties: { name: text }, additionalProperties: text }, 'other'))
  assert.ok(!knows({ properties: { name: text }, additionalProperties: text }, 'other/x'))
  assert.ok(!knows({ additionalProperties: false }, 'other'))
  assert.ok(knows({ patternProperties: { '^x-': text } }, 'x-a'))
  assert.ok(!knows({ patternProperties: { '^x-': text } }, 'x-a/b'))
})

test('references, compositions and items are looked into, circles too', () => {
  const tree = {
    $defs: { node: { properties: { next: { $ref: '#/$defs/node' }, value: { type: 'integer' } } } },
    properties: {
      root: { $ref: '#/$defs/node' },
      either: { anyOf: [{ properties: { a: text } }, { type: 'null' }, { properties: { b: text } }] },
      rows: {
        type: 'array',
        items: { properties: { cell: text } },
        prefixItems: [{ properties: { head: text } }],
      },
      self: { $ref: '#' },
    },
    allOf: [{ properties: { more: text } }],
  }
  for (const path of [
    'root/next/next/value',
    'either/a',
    'either/b',
    'rows/cell',
    'rows/head',
    'self/self/more',
    'more',
  ])
    assert.ok(knows(tree, path), path)
  for (const path of ['root/next/other', 'either/c', 'rows/other', 'self/other'])
    assert.ok(!knows(tree, path), path)
})

test('the types that may stand in a member', () => {
  const schema = schemaOf({
    properties: {
      count: { type: ['integer', 'null'] },
      size: { enum: ['s', 'm', 3] },
      one: { const: true },
      any: {},
      either: { anyOf: [{ type: 'number' }, { type: 'string' }] },
      tags: { type: 'array', items: { type: 'string' } },
    },
  })
  const types = (name: string): string[] | undefined => {
    const found = typesOf(schema, findMember(schema, [name]))
    return found && [...found]
  }
  assert.deepEqual(types('count'), ['number', 'null'])
  assert.deepEqual(types('size'), ['string', 'number'])
  assert.deepEqual(types('one'), ['boolean'])
  assert.deepEqual(types('either'), ['number', 'string'])
  assert.deepEqual(types('tags'), ['array'])
  assert.equal(types('any'), undefined)
  assert.deepEqual([...typesOf(schema, findItems(schema, findMember(schema, ['tags'])))!], ['string'])
})
