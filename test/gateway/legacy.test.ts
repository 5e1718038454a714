/** A monolith that shrinks: who has which route, how one is taken and given back, and how both are compared before. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JsonObject } from 'lockstep/contract'
import type { ComparisonReport } from '../../src/gateway/comparison.ts'
import { findDifferences } from '../../src/gateway/json-difference.ts'
import { openTestGateway, openTestService } from './stage.ts'

test('the legacy program has every route that no service has taken; taking one and giving it back is one line', async t => {
  const legacy = await openTestService(t, (request, response) => response.end(`legacy ${request.url}`))
  const service = await openTestService(t, (request, response) => {
    response.statusCode = request.url === '/tickets/none' ? 404 : 200
    response.end(`service ${request.url}`)
  })
  const settings = (paths: string[]): JsonObject => ({
    services: { tickets: { instances: [service.url], paths } },
    legacy: { instances: [legacy.url] },
  })
  const gateway = await openTestGateway(t, settings(['/tickets']))
  const url = gateway.urls['internal']!
  const heard = async (path: string): Promise<string> => (await fetch(url + path)).text()
  assert.equal(await heard('/api/v1/tickets/1'), 'service /tickets/1')
  assert.equal(await heard('/api/v1/orders/1?a'), 'legacy /api/v1/orders/1?a')
  assert.equal(await heard('/'), 'legacy /')
  // What a service has taken stays with it, also where it does not know it.
  assert.equal(await heard('/api/v1/tickets/none'), 'service /tickets/none')
  await gateway.replace(settings(['/tickets', '/orders']), {})
  assert.equal(await heard('/api/v1/orders/1'), 'service /orders/1')
  await gateway.replace(settings(['/tickets']), {})
  assert.equal(await heard('/api/v1/orders/1'), 'legacy /api/v1/orders/1')
  const { routes, carvedOut } = gateway.report()
  assert.deepEqual(
    routes.map(({ path, service: name, requests }) => [path, name, requests]),
    [
      ['/api/v1/tickets', 'tickets', 2],
      ['/', 'legacy', 3],
    ],
  )
  assert.deepEqual(carvedOut, { services: 2, legacy: 3 })
})

test('a compared route is answered by the legacy program, asked of both where it is a GET, and differences are told by place', async t => {
  const before = {
    items: [
      { id: 1, name: 'a', at: 1 },
      { id: 2, name: 'b', at: 2 },
    ],
    total: 2,
  }
  const after = {
    items: [
      { id: 1, name: 'A', at: 3 },
      { id: 2, name: 'b', at: 4, more: true },
    ],
  }
  const answer =
    (value: object) =>
    (request: { url?: string; method?: string }, response: import('node:http').ServerResponse) => {
      response.statusCode = request.url?.endsWith('/gone') && value === after ? 404 : 200
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify(request.url?.endsWith('/same') ? { same: true } : value))
    }
  const legacy = await openTestService(t, answer(before))
  const service = await openTestService(t, answer(after))
  const gateway = await openTestGateway(t, {
    services: { tickets: { instances: [service.url], compare: { ignore: ['/items/*/at'] } } },
    legacy: { instances: [legacy.url] },
  })
  const url = `${gateway.urls['internal']}/api/v1/tickets`
  for (const path of ['', '/same', '/gone', '?b=1']) {
    const headers = { 'accept-encoding': 'gzip' }
    await (await fetch(url + path, { headers })).text()
  }
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) await (await fetch(url, { method })).text()
  assert.deepEqual(service.requests.map(({ method, url: path }) => `${method} ${path}`).sort(), [
    'GET /tickets',
    'GET /tickets/gone',
    'GET /tickets/same',
    'GET /tickets?b=1',
  ])
  assert.equal(legacy.requests.length, 8)
  const report = (): ComparisonReport => gateway.report().routes.find(route => route.comparison)!.comparison!
  while (report().compared < 4) await new Promise(setImmediate)
  const { compared, equal, skipped, statuses, differences } = report()
  assert.deepEqual([compared, equal, skipped, statuses], [4, 1, 0, { '200 → 404': 1 }])
  assert.deepEqual(differences.map(({ pointer, kind, count }) => `${kind} ${pointer} ${count}`).sort(), [
    'added /items/*/more 3',
    'changed /items/*/name 3',
    'missing /total 3',
  ])
  assert.match(differences[0]!.example, /^\/api\/v1\/tickets/)
})

test('a client that compares waits for the legacy program only, and a dead service harms nobody', async t => {
  const legacy = await openTestService(t)
  const silent = await openTestService(t, () => {})
  const gateway = await openTestGateway(t, {
    services: { tickets: { instances: [silent.url], compare: true, health: false } },
    legacy: { instances: [legacy.url] },
  })
  const url = `${gateway.urls['internal']}/api/v1/tickets`
  for (let index = 0; index < 50; index++) assert.equal((await fetch(url)).status, 200)
  assert.equal(legacy.requests.length, 50)
  assert.ok(silent.requests.length <= 32)
})

test('differences are named once by place and kind, up to a limit', () => {
  assert.deepEqual(findDifferences({ a: 1, b: [1, 2, 3] }, { b: [1, 3], c: null, 'x/y': 0 }), [
    { pointer: '/a', kind: 'missing' },
    { pointer: '/b/*', kind: 'changed' },
    { pointer: '/b/*', kind: 'missing' },
    { pointer: '/c', kind: 'added' },
    { pointer: '/x~1y', kind: 'added' },
  ])
  assert.deepEqual(findDifferences(1, '1'), [{ pointer: '', kind: 'changed' }])
  assert.deepEqual(findDifferences({ a: { b: 1, c: 1 } }, { a: { c: 1, b: 1 } }), [])
  const many = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`m${index}`, index]))
  assert.equal(findDifferences(many, {}).length, 50)
  assert.deepEqual(findDifferences({ a: { b: 1 } }, {}, { ignore: new Set(['/a']) }), [])
})
