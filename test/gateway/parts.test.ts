/** The parts that a configuration asks for, beside each other: what stands in the documents is what the door answers. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import type { JsonObject } from '../../src/contract/index.ts'
import { addKey } from '../../src/gateway/access/key-file.ts'
import { bundleFile } from '../../src/gateway/documents/lint.ts'
import { openGateway } from '../../src/gateway/gateway.ts'
import { openGatewayParts } from '../../src/gateway/parts.ts'
import { readGatewaySettings } from '../../src/gateway/settings-reader.ts'
import { openHttpServer } from '../../src/service/http/node.ts'
import { defineResource } from '../../src/service/resource.ts'
import { eventually, openTestService } from '../support/service.ts'

const people = defineResource('people', {
  schema: { type: 'object', properties: { name: { type: 'string' }, salary: { type: 'integer' } } },
  public: { operations: ['read'], fields: ['name'] },
})
const secret = 'a secret of at least 32 bytes, for tests'

async function openFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-parts-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

test('each face is described as it answers, also where the service answers strangers as the public', async t => {
  const folder = await openFolder(t)
  await writeFile(join(folder, 'audience.key'), secret)
  const { key } = await addKey(join(folder, 'keys.json'), {
    name: 'web',
    account: 'web',
    plan: 'free',
    scopes: ['people:read'],
  })
  await using api = await openTestService({
    resources: [people],
    audience: { service: 'people', keys: [secret] },
  })
  await using server = await openHttpServer(api.service, { port: 0 })
  const settings: JsonObject = {
    listen: { port: 0 },
    faces: { internal: { root: '/internal' }, public: { root: '/api' } },
    services: { people: { instances: [server.url], health: false } },
    keys: { file: 'keys.json' },
    plans: { free: { perSecond: 50 }, anonymous: { perSecond: 50 } },
    audience: { keyFile: 'audience.key' },
    docs: {},
  }
  const parts = await openGatewayParts(readGatewaySettings(settings).settings, {
    folder,
    onError: error => assert.fail(String(error)),
  })
  await using gateway = await openGateway({ settings, ...parts })
  const url = gateway.urls['internal']!
  const read = async (): Promise<string> => await (await fetch(`${url}/docs/openapi.json`)).text()
  await eventually(async () => (await read()).includes('/people'))
  const internal = JSON.parse(await read()) as JsonObject
  assert.match(JSON.stringify(internal), /salary/)
  assert.deepEqual(internal['security'], [])
  const asked = { headers: { 'x-api-key': key } }
  const answer = await fetch(`${url}/api/people`, asked)
  assert.equal(answer.status, 200)
  assert.ok(answer.headers.has('ratelimit'))
  assert.equal((await fetch(`${url}/api/people`, { headers: { 'x-api-key': 'lsk_x' } })).status, 401)
  assert.equal((await fetch(`${url}/api/people/1`, { method: 'DELETE' })).status, 404)
})

test('a configuration with faults opens nothing, wherever it comes from', async () => {
  const settings = {
    services: { people: { instances: ['http://127.0.0.1:1'] } },
    keys: { file: 'keys.json', facse: ['internal'] },
    docs: { pth: '/docs' },
  }
  await assert.rejects(openGatewayParts(readGatewaySettings(settings).settings), {
    code: 'invalid-option',
    message: /\/keys\/facse is not known.*\/plans is missing.*\/docs\/pth is not known/,
  })
})

test('a document of several files reads none outside of its folder, not by a link either', async t => {
  const [folder, outside] = [await openFolder(t), await openFolder(t)]
  await writeFile(join(outside, 'secret.json'), '{"title":"secret"}')
  await writeFile(join(folder, 'own.json'), '{"title":"own"}')
  await symlink(join(outside, 'secret.json'), join(folder, 'linked.json'))
  const write = async (name: string): Promise<string> => {
    const file = join(folder, `api-${name}`)
    const schemas = { A: { $ref: `./${name}` } }
    const info = { title: 'x', version: '1' }
    await writeFile(file, JSON.stringify({ openapi: '3.1.0', info, paths: {}, components: { schemas } }))
    return file
  }
  assert.match(JSON.stringify(await bundleFile(await write('own.json'))), /"title":"own"/)
  const refused = await bundleFile(await write('linked.json')).then(
    document => JSON.stringify(document),
    error => String(error),
  )
  assert.doesNotMatch(refused, /"title":"secret"/)
})
