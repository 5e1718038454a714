/** Which resource a URL is about, and what comes of what an API says. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { proposeFromOpenApi, readMirrorSettings } from 'lockstep/sidecar'
import { readMirrored, toMirrored } from '../../src/sidecar/mirrored.ts'
import { TargetTable } from '../../src/sidecar/target-table.ts'
import { TrafficNotes } from '../../src/sidecar/traffic-notes.ts'

const table = new TargetTable(
  [
    readMirrored('people', {}),
    readMirrored('people/{person}/friends', {}),
    readMirrored('docs', { list: '/db/_all?whole=true', item: '/db/{id}' }),
    readMirrored('packages', { list: '/-/all', item: '/{id}' }),
  ],
  {},
)

for (const [url, path] of [
  ['/people', '/people'],
  ['/people/', '/people'],
  ['/people/7', '/people/7'],
  ['/people/a%20b', '/people/a%20b'],
  ['/people/7/friends', '/people/7/friends'],
  ['/people/7/friends/8', '/people/7/friends/8'],
  ['/people/7/publish', '/people/7'],
  ['/people/7/friends/8/tags/1', '/people/7/friends/8'],
  ['/db/_all', '/docs'],
  ['/db', '/docs'],
  ['/db/x', '/docs/x'],
  ['/db/_bulk', '/docs'],
  ['/@scope%2fname', '/packages/%40scope%2Fname'],
  ['/-/all', '/packages'],
] as const) {
  test(`${url} is about ${path}`, () => assert.equal(table.find(url)?.path, path))
}

test('a path that nothing could mean is about nothing', () => {
  assert.equal(table.find('/people/%ff'), undefined)
  assert.equal(table.find('*'), undefined)
})

test('the id is the text of the path; a number that reads so is no other id, and another one is kept', () => {
  const people = readMirrored('people', { ignore: ['/seen', '/at/last'] })
  assert.deepEqual(toMirrored(people, '7', { id: 7, seen: 1, at: { last: 1, first: 0 } }), {
    id: '7',
    at: { first: 0 },
  })
  assert.deepEqual(toMirrored(people, 'ann', { id: 7 }), { id: 'ann', _id: 7 })
})

test('every fault of a file is found with its place', () => {
  const { faults } = readMirrorSettings({
    resources: { people: { list: 'people' }, orders: { itms: '/x' }, stock: { pages: { page: 1 } } },
    touches: { 'POST orders': ['/people'], 'POST /orders': ['/people/{person}'] },
  })
  assert.deepEqual(
    faults.map(({ pointer }) => pointer),
    [
      '/resources/people',
      '/resources/orders/itms',
      '/resources/stock/pages',
      '/touches/POST orders',
      '/touches/POST ~1orders',
    ],
  )
})

test('an OpenAPI document proposes its lists, with where items and ids are', () => {
  const person = { type: 'object', properties: { uuid: { type: 'string' } } }
  const list = {
    type: 'object',
    properties: { data: { type: 'array', items: { $ref: '#/components/schemas/Person' } } },
  }
  const get = (schema: object): object => ({
    get: { responses: { 200: { content: { 'application/json': { schema } } } } },
  })
  const { resources } = proposeFromOpenApi({
    openapi: '3.1.0',
    servers: [{ url: 'https://example.com/api/v1' }],
    components: { schemas: { Person: person } },
    paths: {
      '/people': get(list),
      '/people/{personId}': get(person),
      '/people/{personId}/friends': get({ type: 'array', items: person }),
      '/people/{personId}/friends/{friendId}': get(person),
      '/health': get({}),
    },
  } as never)
  assert.deepEqual(resources, {
    people: { list: '/api/v1/people', items: '/data', id: '/uuid' },
    'people/{personId}/friends': { list: '/api/v1/people/{personId}/friends', id: '/uuid' },
  })
  for (const [template, options] of Object.entries(resources)) readMirrored(template, options)
})

test('traffic proposes the lists that were seen, and those below their items', () => {
  const notes = new TrafficNotes()
  const take = (method: string, path: string, answer?: object, status = 200): void =>
    notes.take({ method, path, status, answer: answer as never })
  take('GET', '/api/people', { results: [{ id: 1 }], next: '/api/people?page=2' })
  take('GET', '/api/people/1', { id: 1 })
  take('GET', '/api/people/1/friends', [{ _id: 'x' }])
  take('DELETE', '/api/people/1/friends/x', undefined, 204)
  take('GET', '/health', { ok: true })
  take('GET', '/nothing', [], 404)
  assert.deepEqual(notes.propose().resources, {
    people: { list: '/api/people', items: '/results', pages: { next: '/next' } },
    'people/{person}/friends': { list: '/api/people/{person}/friends', id: '/_id' },
  })
})
