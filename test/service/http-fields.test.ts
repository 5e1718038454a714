/** `?fields=` over HTTP: PROTOCOL.md 10.3 and 10.5. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineResource } from '../../src/service/resource.ts'
import { assertProblem, openTestService } from '../support/service.ts'

const ann = { id: 'ann', name: 'Ann', age: 7, address: { city: 'Oslo', zip: '1' } }

async function openPeople() {
  const api = await openTestService()
  await api.ask('PUT', '/people/ann', { body: ann })
  await api.ask('PUT', '/people/bob', { body: { name: 'Bob' } })
  return api
}

test('10.5 fields narrow a resource and each item of a list', async () => {
  await using api = await openPeople()
  const one = await api.ask('GET', '/people/ann?fields=name,address/city')
  assert.deepEqual(one.json, { id: 'ann', name: 'Ann', address: { city: 'Oslo' } })
  const list = await api.ask('GET', '/people?fields=age&versions=true')
  assert.deepEqual(list.json, [{ id: 'ann', age: 7 }, { id: 'bob' }])
  assert.equal(list.headers.get('lockstep-versions'), '1,1')
})

test('10.5 pages of a narrowed list lead on to narrowed ones', async () => {
  await using api = await openPeople()
  const { headers } = await api.ask('GET', '/people?limit=1&fields=age,name')
  const next = /, <([^>]+)>; rel="next"/.exec(headers.get('link')!)![1]!
  assert.equal(next, '/people?limit=1&fields=age%2Cname&after=ann')
  assert.deepEqual((await api.ask('GET', next)).json, [{ id: 'bob', name: 'Bob' }])
})

test('10.3 fields are in the tag, whatever their order', async () => {
  await using api = await openPeople()
  const { epoch } = await api.log.head('people')
  const tagOf = async (query: string) => (await api.ask('GET', `/people/ann?${query}`)).headers.get('etag')!
  const tag = `"${epoch}.1;fields=age,id,name"`
  assert.equal(await tagOf('fields=name,age'), tag)
  assert.equal(await tagOf('fields=id,age,name,age'), tag)
  const headers = { 'if-none-match': tag }
  assert.equal((await api.ask('GET', '/people/ann?fields=age,name', { headers })).status, 304)
  assert.equal((await api.ask('GET', '/people/ann?fields=age', { headers })).status, 200)
  assert.equal((await api.ask('GET', '/people/ann', { headers })).status, 200)
  assert.equal(
    (await api.ask('PATCH', '/people/ann', { headers: { 'if-match': tag }, body: { age: 8 } })).status,
    200,
  )
  const collection = await api.ask('GET', '/people?fields=age')
  assert.equal(collection.headers.get('etag'), `"${epoch}.s3;fields=age,id"`)
})

test('10.3 the tag of very many fields is short all the same', async () => {
  const open = defineResource('things', { schema: { type: 'object' } })
  await using api = await openTestService({ resources: [open] })
  await api.ask('PUT', '/things/a', { body: { n: 1 } })
  const names = Array.from({ length: 99 }, (_, index) => `member-${index}`)
  const one = await api.ask('GET', `/things/a?fields=${names.join(',')}`)
  const other = await api.ask('GET', `/things/a?fields=${names.slice(1).join(',')}`)
  assert.deepEqual(one.json, { id: 'a' })
  assert.ok(one.headers.get('etag')!.length < 80)
  assert.notEqual(one.headers.get('etag'), other.headers.get('etag'))
})

test('10.5 a member that the schema does not know is refused, with the ones that it knows', async () => {
  await using api = await openPeople()
  for (const [fields, message] of [
    ['nmae', /no member "nmae" here\. Known: name, email, age, address, tags, id\./],
    ['address/town', /no member "town" in "address"\. Known: city\./],
    ['constructor', /no member "constructor"/],
    ['name,__proto__', /no member "__proto__"/],
    ['', /names no member/],
    ['name,,age', /names no member/],
  ] as const) {
    for (const path of ['/people/ann', '/people']) {
      const problem = assertProblem(await api.ask('GET', `${path}?fields=${fields}`), 400, 'invalid-query')
      assert.match(String(problem['detail']), message)
    }
  }
  assertProblem(await api.ask('PATCH', '/people/ann?fields=name', { body: {} }), 400, 'invalid-query')
})
