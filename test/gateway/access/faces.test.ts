/** A service with two faces behind a real gateway: what each shows, followers through it, and the end of what was withdrawn. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect } from '../../../src/client/connection.ts'
import { openAccess } from '../../../src/gateway/access/access.ts'
import { readAccessSettings } from '../../../src/gateway/access/access-settings.ts'
import { addKey, revokeKey } from '../../../src/gateway/access/key-file.ts'
import { openGateway } from '../../../src/gateway/gateway.ts'
import { lookEveryMs } from '../../../src/gateway/open-streams.ts'
import { openHttpServer } from '../../../src/service/http/node.ts'
import { defineResource } from '../../../src/service/resource.ts'
import { askOver, eventually, openTestService } from '../../support/service.ts'

const people = defineResource('people', {
  schema: {
    type: 'object',
    properties: { name: { type: 'string' }, salary: { type: 'integer' }, hired: { type: 'boolean' } },
  },
  public: { operations: ['read', 'patch'], fields: ['name', 'hired'], where: { hired: true } },
})

test('one service behind one gateway has two faces; a key reaches one of them, and ends', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-faces-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const keyFile = join(folder, 'keys.json')
  await writeFile(join(folder, 'audience.key'), 'a secret of at least 32 bytes, for tests')
  const { key, record } = await addKey(keyFile, {
    name: 'web',
    account: 'web',
    plan: 'pro',
    scopes: ['people:write'],
  })
  const seenByService: (string | undefined)[] = []
  await using api = await openTestService({
    resources: [people],
    audience: { service: 'people', keys: ['a secret of at least 32 bytes, for tests'] },
    principal: exchange => {
      seenByService.push(exchange.header('authorization') ?? exchange.header('x-api-key'))
      return undefined
    },
  })
  await using server = await openHttpServer(api.service, { port: 0 })
  const { settings } = readAccessSettings({
    keys: { file: 'keys.json' },
    plans: { pro: { unlimited: true } },
    audience: { keyFile: 'audience.key' },
  })
  const gatewaySettings = {
    listen: { port: 0 },
    faces: { internal: { root: '/internal' }, public: { root: '/api' } },
    services: { people: { instances: [server.url], paths: ['/people'] } },
  }
  await using gateway = await openGateway({
    settings: gatewaySettings,
    admitter: await openAccess(settings, { folder }),
    visibility: { isVisible: () => true },
    onError: error => assert.fail(String(error)),
  })
  const [inner, outer] = [`${gateway.urls['internal']}/internal`, `${gateway.urls['public']}/api`]
  const headers = { authorization: `Bearer ${key}` }
  for (const [id, hired] of [
    ['ann', true],
    ['bob', false],
  ] as const)
    await askOver(fetch, `${inner}/people/${id}`, 'PUT', { body: { name: id, salary: 5, hired } })
  assert.equal((await askOver(fetch, `${inner}/people/ann`, 'GET')).json.salary, 5)
  assert.equal((await askOver(fetch, `${outer}/people/ann`, 'GET')).status, 401)
  assert.deepEqual((await askOver(fetch, `${outer}/people`, 'GET', { headers })).json, [
    { id: 'ann', name: 'ann', hired: true },
  ])
  // What a client says of itself is not heard.
  const forged = {
    ...headers,
    'lockstep-audience': 'x',
    Lockstep_Audience: 'x',
    'x-forwarded-for': '1.1.1.1',
  }
  assert.deepEqual(
    Object.keys((await askOver(fetch, `${outer}/people/ann`, 'GET', { headers: forged })).json),
    ['id', 'name', 'hired'],
  )
  assert.equal((await askOver(fetch, `${outer}/people/bob`, 'GET', { headers })).status, 404)
  const patched = await askOver(fetch, `${outer}/people/ann`, 'PATCH', {
    headers: { ...headers, 'idempotency-key': 'k' },
    body: { name: 'Ann' },
  })
  assert.deepEqual(patched.json, { id: 'ann', name: 'Ann', hired: true })
  assert.deepEqual(
    seenByService.filter(text => text !== undefined),
    [],
    'the key went on to the service',
  )

  const lockstep = await connect<{ people: { id: string; name?: string } }>({ api: outer, headers })
  t.after(() => lockstep.close())
  const follower = lockstep.follow('/people')
  await follower.ready
  await askOver(fetch, `${inner}/people/bob`, 'PATCH', { body: { hired: true, salary: 7 } })
  await askOver(fetch, `${inner}/people/ann`, 'PATCH', { body: { hired: false } })
  await eventually(() => [...follower.state.keys()].join() === 'bob')
  assert.deepEqual([...follower.state.values()], [{ id: 'bob', name: 'bob', hired: true }])

  const stream = await fetch(`${outer}/people/_changes`, {
    headers: { ...headers, accept: 'text/event-stream' },
  })
  const reader = stream.body!.getReader()
  await reader.read()
  // What was let in before a new configuration is watched as ever.
  await gateway.replace(gatewaySettings, {
    admitter: await openAccess(settings, { folder }),
    visibility: { isVisible: () => true },
  })
  const begunMs = performance.now()
  await revokeKey(keyFile, record.id)
  await assert.rejects(async () => {
    while (!(await reader.read()).done);
    throw new Error('it ended')
  })
  assert.ok(performance.now() - begunMs < lookEveryMs + 20_000)
  assert.equal((await askOver(fetch, `${outer}/people`, 'GET', { headers })).status, 401)
  const all = await askOver(fetch, `${inner}/people`, 'GET')
  assert.equal(all.status, 200)
})
