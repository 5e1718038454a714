/** The examples run, stay short, and are what the README shows. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { connect } from '../src/client/index.ts'

const folder = new URL('../examples/', import.meta.url)
const maxLines = 60

interface Running {
  /** The next line that it prints. */
  line(): Promise<string>
  readonly process: ChildProcess
}

function run(t: TestContext, file: string, env: Record<string, string> = {}): Running {
  const child = spawn(process.execPath, ['--conditions=lockstep-source', new URL(file, folder).pathname], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill()
    await once(child, 'exit')
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    process: child,
    async line() {
      const { value, done } = await lines.next()
      assert.notEqual(done, true, `${file} printed nothing more`)
      return value as string
    },
  }
}

async function temporaryFile(t: TestContext, name: string): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'lockstep-example-'))
  t.after(() => rm(dir, { recursive: true }))
  return join(dir, name)
}

async function send(method: string, url: string, body: object): Promise<Response> {
  const headers = { 'content-type': 'application/json' }
  return await fetch(url, { method, headers, body: JSON.stringify(body) })
}

test('every numbered example is under 60 lines', async () => {
  const examples = (await readdir(folder)).filter(name => /^\d\d-/.test(name))
  assert.ok(examples.length >= 4)
  for (const name of examples) {
    const lines = (await readFile(new URL(name, folder), 'utf8')).split('\n').length
    assert.ok(lines < maxLines, `${name} has ${lines} lines`)
  }
})

test('the README shows the first two examples as they are', async () => {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8')
  for (const name of ['01-service.ts', '02-follow.ts']) {
    const [, ...code] = (await readFile(new URL(name, folder), 'utf8')).split('\n')
    assert.ok(code.length <= 25, `${name} has ${code.length} lines of code`)
    assert.ok(readme.includes(code.join('\n')), `README.md does not show ${name}`)
  }
})

test('01-service and 02-follow: a change over REST arrives at the follower', async t => {
  const service = run(t, '01-service.ts', {
    PORT: '0',
    MQTT_PORT: '0',
    FILE: await temporaryFile(t, 'people.db'),
  })
  const [url, brokerUrl] = (await service.line()).split(' ') as [string, string]
  const follower = run(t, '02-follow.ts', { API: new URL(url).origin, BROKER: brokerUrl })
  assert.equal(await follower.line(), '0 people')
  await send('POST', url, { id: 'johndoe', name: 'John' })
  const lines: string[] = []
  while (!lines.some(line => line.startsWith('created /people/johndoe'))) lines.push(await follower.line())
})

test('03-transaction: both streams carry the transaction', async t => {
  const example = run(t, '03-transaction.ts')
  assert.equal(await example.line(), '26 people projects')
  assert.equal(await example.line(), 'created 2')
  assert.deepEqual(await once(example.process, 'exit'), [0, null])
})

test('05-nested: a follower of a nested collection sees what comes and what goes with its parent', async t => {
  const example = run(t, '05-nested.ts')
  assert.equal(await example.line(), 'tea')
  assert.equal(await example.line(), 'created /shops/corner/orders/2')
  const gone = [await example.line(), await example.line()]
  assert.deepEqual(gone.sort(), ['deleted /shops/corner/orders/1', 'deleted /shops/corner/orders/2'])
  assert.equal(await example.line(), '0 orders')
  assert.deepEqual(await once(example.process, 'exit'), [0, null])
})

test('04-mount: the service answers below its root, the application elsewhere', async t => {
  const example = run(t, '04-mount.ts', { PORT: '0', FILE: await temporaryFile(t, 'notes.db') })
  const url = await example.line()
  const created = await send('POST', url, { text: 'Hello' })
  assert.equal(created.status, 201)
  assert.match(created.headers.get('location')!, /^\/api\/v1\/notes\//)
  assert.match(created.headers.get('lockstep-topic')!, /^acme\/notes\//)
  assert.equal(await (await fetch(new URL('/other', url))).text(), 'The rest of the application.\n')
})

test('06-representations: a language, some members, a filter, an order and an embed', async t => {
  const example = run(t, '06-representations.ts')
  assert.equal(await example.line(), '[{"id":"b","title":"Cheese"},{"id":"a","title":"Pain"}]')
  assert.equal(
    await example.line(),
    '{"id":"a","title":"Bread","_embedded":{"owner":{"id":"ann","name":"Ann"}}}',
  )
  assert.equal(await example.line(), '{"id":"b","title":"Fromage","owner":"ann","priority":3}')
  assert.equal(await example.line(), '{"id":"b","title":{"en":"Cheese","fr":"Fromage"}}')
  assert.deepEqual(await once(example.process, 'exit'), [0, null])
})

test('10-views: what is followed is shown in one language, narrowed, filtered, and with its owners', async t => {
  const example = run(t, '10-views.ts')
  for (const line of [
    '[{"id":"a","title":"Pain","_embedded":{"owner":{"id":"ann","name":"Ann"}}}]',
    'modified a {"_embedded":{"owner":{"name":"Anna"}}}',
    'created b',
    'deleted a',
  ])
    assert.equal(await example.line(), line)
  assert.deepEqual(await once(example.process, 'exit'), [0, null])
})

test('07-express: own routes write an own table, and what they record is read, followed and waited for', async t => {
  const example = run(t, '07-express.ts', {
    ...{ PORT: '0', NODE_ENV: 'test' },
    FILE: await temporaryFile(t, 'shop.db'),
  })
  const url = await example.line()
  await using lockstep = await connect({ api: new URL(url).origin })
  const orders = lockstep.follow('/orders')
  const posted = await send('POST', url, { item: 'tea' })
  assert.equal(posted.status, 201)
  assert.equal(posted.headers.get('location'), '/orders/1')
  await orders.atLeast(posted.headers.get('lockstep-marker')!)
  assert.deepEqual(orders.state.get('1'), { id: '1', item: 'tea', amount: 1 })
  const patched = await send('PATCH', `${url}/1`, { amount: 3 })
  const read = await fetch(`${url}/1`)
  assert.deepEqual(await read.json(), { id: '1', item: 'tea', amount: 3 })
  assert.equal(read.headers.get('etag'), patched.headers.get('etag'))
  assert.equal((await send('PATCH', `${url}/1`, { amount: null })).status, 500)
  assert.equal((await send('PATCH', `${url}/2`, { amount: 3 })).status, 404)
  assert.equal((await send('PUT', `${url}/1`, {})).status, 405)
  const deleted = await fetch(`${url}/1`, { method: 'DELETE' })
  await orders.atLeast(deleted.headers.get('lockstep-marker')!)
  assert.equal(orders.state.size, 0)
})

test('08-fastify: a route writes and records, and Lockstep answers every GET', async t => {
  const example = run(t, '08-fastify.ts', { PORT: '0', FILE: await temporaryFile(t, 'notes.db') })
  const url = await example.line()
  const put = await send('PUT', `${url}/a%20b`, { text: 'Hello' })
  assert.equal(put.status, 200)
  const read = await fetch(`${url}/a%20b`)
  assert.deepEqual(await read.json(), { id: 'a b', text: 'Hello' })
  assert.equal(read.headers.get('etag'), put.headers.get('etag'))
  assert.equal((await send('PUT', `${url}/1`, {})).status, 400)
  const feed = await (await fetch(`${url}/_changes`)).json()
  assert.deepEqual(
    (feed as { changes: { event: string; resource: string }[] }).changes.map(c => [c.event, c.resource]),
    [['created', '/notes/a%20b']],
  )
  assert.equal((await fetch(new URL('/elsewhere', url))).status, 404)
})

test('11-hono: a transfer is two changes of one transaction, or none', async t => {
  const example = run(t, '11-hono.ts', { FILE: await temporaryFile(t, 'bank.db') })
  assert.equal(await example.line(), 'transfer of 30: 204')
  assert.equal(await example.line(), 'transfer of 300: 409')
  assert.equal(await example.line(), '[{"id":"ann","balance":70},{"id":"bob","balance":30}]')
  assert.equal(await example.line(), 'created /accounts/ann one of 2')
  assert.equal(await example.line(), 'created /accounts/bob one of 2')
  assert.deepEqual(await once(example.process, 'exit'), [0, null])
})

test('12-public-face: the public hears of what is open, without what is hidden', async t => {
  const example = run(t, '12-public-face.ts')
  assert.equal(await example.line(), 'created {"id":"cook","title":"Cook"}')
  assert.equal(await example.line(), 'modified {"id":"cook","title":"Cook, full time"}')
  assert.match(await example.line(), /^deleted/)
  assert.deepEqual(await once(example.process, 'exit'), [0, null])
})

test('13-gateway.ts: one route is the service’s, the rest is the old program’s', async t => {
  const example = run(t, '13-gateway.ts', { PORT: '0' })
  assert.equal(await example.line(), '201 /api/v1/people/johndoe people/johndoe')
  assert.equal(await example.line(), '{"from":"the old program","url":"/api/v1/orders/7"}')
  assert.equal(await example.line(), '/api/v1/people people 1')
  assert.equal(await example.line(), '/ legacy 1')
})

test('14-sidecar.ts: an API that knows nothing of it is followed, also where it is written round the sidecar', async t => {
  const example = run(t, '14-sidecar.ts')
  assert.equal(await example.line(), "[ { id: '1', name: 'Ann' } ]")
  assert.equal(await example.line(), 'modified /people/1 {"id":"1","name":"Anna"}')
  assert.equal(await example.line(), 'created /people/2 {"id":"2","name":"Bob"}')
  assert.deepEqual(await once(example.process, 'exit'), [0, null])
})

test('15-topics.ts: a device writes over MQTT, and HTTP sees its topics', async t => {
  const example = run(t, '15-topics.ts', { PORT: '0', FILE: await temporaryFile(t, 'lamps.db') })
  assert.equal(await example.line(), 'the lamp heard 201')
  assert.equal(await example.line(), "REST says { id: 'kitchen', on: true, lux: 40 }")
  assert.equal(await example.line(), 'the topic says dim at night')
  assert.deepEqual(await once(example.process, 'exit'), [0, null])
})

for (const name of ['express', 'fastify', 'hono', 'koa', 'nest', 'node']) {
  const file = readdirSync(folder).find(each => each.endsWith(`-middleware-${name}.ts`))!
  test(`${file.slice(0, -3)}: an application that was there before is followed`, async t => {
    const example = run(t, file, { PORT: '0', MQTT_PORT: '0', FILE: await temporaryFile(t, 'mirror.db') })
    const [url, brokerUrl] = (await example.line()).split(' ') as [string, string?]
    await using lockstep = await connect({
      api: `${url}/_mirror`,
      ...(brokerUrl === undefined ? {} : { broker: brokerUrl }),
    })
    const books = lockstep.follow('/books')
    await books.ready
    assert.deepEqual([...books.state.values()], [{ id: '1', title: 'Emma' }])
    const created = await send('POST', `${url}/books`, { title: 'Persuasion' })
    assert.equal(created.status, 201)
    assert.match(created.headers.get('etag')!, /\.1"$/)
    const changed = await send('PATCH', `${url}/books/2`, { title: 'Lady Susan' })
    assert.equal(changed.status, 200)
    const removed = await fetch(`${url}/books/1`, { method: 'DELETE' })
    assert.ok(removed.ok)
    await books.atLeast(removed.headers.get('lockstep-marker')!)
    assert.deepEqual([...books.state.values()], [{ id: '2', title: 'Lady Susan' }])
  })
}
