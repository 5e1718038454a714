/** The demo as `npm start` runs it: what it prints, that it answers, that it survives a kill, that it ends. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connectMqtt } from 'lockstep/broker'
import type { JsonObject } from 'lockstep/contract'
import { readFolder } from '../../examples/demo/settings.ts'
import { startDemo } from '../support/demo-process.ts'

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-demo-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

const getJson = async (url: string): Promise<JsonObject> => (await fetch(url)).json() as Promise<JsonObject>

test('npm start runs three services and a broker behind one door, survives the kill of a service, keeps its data and ends by Ctrl-C', async t => {
  const env = { DATA_DIR: await temporaryFolder(t) }
  const first = startDemo(t, env)
  const [, usersUrl, pid] = await first.printed(/users +(http:\S+) +topics users\/# +process (\d+)/)
  const [, brokerUrl] = await first.printed(/broker +(mqtt:\S+)/)
  const [, pagesUrl] = await first.printed(/pages +(http:\S+)/)
  assert.equal((await getJson(`${usersUrl}/johndoe`))['name'], 'John Doe')
  const health = await getJson(new URL('/health', usersUrl).href)
  assert.deepEqual([health['status'], health['broker']], ['ok', { connected: true }])
  assert.match(await (await fetch(pagesUrl!)).text(), /<h1>Projects<\/h1>/)
  const get = async (path: string, key?: string): Promise<[number, string]> => {
    const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` }
    const response = await fetch(pagesUrl + path, { headers })
    return [response.status, await response.text()]
  }
  assert.match((await get('/api/v1/users/johndoe'))[1], /johndoe@example\.com/)
  assert.match((await get('/api/v1/tickets/1'))[1], /The logo is too small/)
  assert.deepEqual(
    [
      (await get('/api/v1/tickets'))[0],
      (await get('/api/v1/nothing'))[0],
      (await get('/api/v1/tickets/9'))[0],
    ],
    [200, 404, 404],
  )
  const [, limited] = await first.printed(/(lsk_\S+) +1 request/)
  const [, unlimited] = await first.printed(/(lsk_\S+) +unlimited/)
  assert.equal((await get('/public/v1/users/johndoe'))[0], 401)
  // What the public has is known once the services' documents were read.
  while ((await get('/public/v1/users/johndoe', unlimited))[0] === 404) await new Promise(setImmediate)
  const [status, john] = await get('/public/v1/users/johndoe', unlimited)
  assert.deepEqual([status, 'name' in JSON.parse(john), 'email' in JSON.parse(john)], [200, true, false])
  assert.equal((await get('/public/v1/tickets/1', unlimited))[0], 404)
  const statuses = await Promise.all(
    Array.from({ length: 20 }, async () => (await get('/public/v1/users/johndoe', limited))[0]),
  )
  assert.ok(statuses.includes(429) && statuses.includes(200), String(statuses))
  assert.match((await get('/docs/'))[1], /<title>/)

  const [, projectsUrl] = await first.printed(/projects +(http:\S+)/)
  const french = await getJson(`${projectsUrl}/sandbox?lang=fr&embed=owner,members`)
  assert.equal(french['description'], 'Un exemple simple')
  const { owner, members } = french['_embedded'] as { owner: JsonObject; members: JsonObject[] }
  assert.deepEqual([owner['name'], members.length], ['John Doe', 2])

  await using broker = await connectMqtt(brokerUrl!)
  const messages: JsonObject[] = []
  let onMessage: () => void = () => {}
  await broker.subscribe(['users/johndoe'], ({ payload }) => {
    messages.push(JSON.parse(payload))
    onMessage()
  })
  const heard = new Promise<void>(resolve => {
    onMessage = resolve
  })
  const patch = {
    method: 'PATCH',
    headers: { 'content-type': 'application/json' },
    body: '{"email":"john@example.com"}',
  }
  assert.equal((await fetch(`${usersUrl}/johndoe`, patch)).status, 200)
  await heard
  assert.deepEqual(messages[0]?.['changes'], { email: 'john@example.com' })

  const beside = startDemo(t, env)
  await beside.printed(
    /^The data folder \S+ is in use by another demo\. Stop that, or give DATA_DIR another folder\.\n/m,
  )
  assert.equal(await beside.stop('SIGTERM'), 1)

  process.kill(Number(pid), 'SIGKILL')
  const [, newUrl] = await first.printed(/users is back at (http:\S+) /)
  assert.equal((await getJson(`${newUrl}/johndoe`))['email'], 'john@example.com')
  assert.equal(await first.stop('SIGINT'), 0)
  await assert.rejects(fetch(`${newUrl}/johndoe`))

  const second = startDemo(t, env)
  const [, againUrl] = await second.printed(/users +(http:\S+)/)
  assert.equal((await getJson(`${againUrl}/johndoe`))['email'], 'john@example.com')
  assert.equal(await second.stop('SIGTERM'), 0)
})

test('npm start says in one sentence that a port is taken, and which setting changes it', async t => {
  const blocker = createServer().listen(0, '127.0.0.1')
  await once(blocker, 'listening')
  t.after(() => blocker.close())
  const { port } = blocker.address() as AddressInfo
  for (const name of ['PORT', 'PROJECTS_PORT', 'MQTT_PORT']) {
    const demo = startDemo(t, { DATA_DIR: await temporaryFolder(t), [name]: String(port) })
    await demo.printed(new RegExp(`Port ${port} \\w+ 127\\.0\\.0\\.1 is taken[^\\n]*\\b${name}\\b`))
    assert.equal(await demo.stop('SIGTERM'), 1)
  }
})

test('a DATA_DIR that is empty is as good as none', t => {
  const before = process.env['DATA_DIR']
  t.after(() => {
    if (before === undefined) delete process.env['DATA_DIR']
    else process.env['DATA_DIR'] = before
  })
  process.env['DATA_DIR'] = ''
  assert.equal(readFolder('DATA_DIR', '.lockstep'), join(process.cwd(), '.lockstep'))
})

test('npm start says in one sentence that its data folder cannot be made', async t => {
  const file = join(await temporaryFolder(t), 'a-file')
  await writeFile(file, '')
  const demo = startDemo(t, { DATA_DIR: file })
  await demo.printed(/^The data folder .*a-file cannot be made \(EEXIST\)\. Give DATA_DIR a folder[^\n]*\n/m)
  assert.equal(await demo.stop('SIGTERM'), 1)
  if (process.platform !== 'linux') return
  // Node never comes back from making a folder there with `recursive`.
  const refused = startDemo(t, { DATA_DIR: '/proc/lockstep/data' })
  await refused.printed(/^The data folder \/proc\/lockstep\/data cannot be made \(ENOENT\)/m)
  assert.equal(await refused.stop('SIGTERM'), 1)
})
