/** The examples run, stay short, and are what the README shows. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'

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
