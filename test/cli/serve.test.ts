/** `lockstep serve` as its user runs it: both forms of the file, what is kept, what changes while it runs. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connectMqtt } from 'lockstep/broker'
import { connect, type Follower } from 'lockstep/client'
import type { JsonObject } from 'lockstep/contract'
import { type Program, type ProgramOptions, runProgram, startProgram, temporaryFolder } from './program.ts'

const jsonServerFile = JSON.stringify({
  $schema: './node_modules/json-server/schema.json',
  posts: [
    { id: 1, title: 'a title', views: 100 },
    { id: '2', title: 'another title' },
  ],
  comments: [{ text: 'first', postId: 1 }, { id: 1, text: 'second', postId: 1 }, { text: 'third' }],
  profile: { name: 'typicode' },
})

const lockstepFile = `
topicPrefix: acme/
root: /api/v1
resources:
  people:
    schema:
      type: object
      required: [name]
      properties:
        name: { type: string }
        email: { type: string, format: email }
    rows:
      - { id: johndoe, name: John Doe, email: john@example.com }
  people/{person}/friends:
    rows:
      johndoe:
        - { id: ann, since: 2014 }
`

interface Served extends Program {
  readonly api: string
  readonly broker: string
}

async function serve(t: TestContext, args: readonly string[], options: ProgramOptions = {}): Promise<Served> {
  const program = startProgram(t, ['serve', ...args, '--port', '0', '--mqtt-port', '0'], options)
  const [, api] = await program.printed(/(http:\/\/[\d.:]+\S*?)\/\w+ +topics/)
  const [, broker] = await program.printed(/broker +(mqtt:\S+)/)
  await program.printed(/Ctrl-C stops it/)
  return Object.assign(program, { api: api!, broker: broker! })
}

const get = async (url: string): Promise<{ status: number; body: unknown }> => {
  const response = await fetch(url)
  return { status: response.status, body: await response.json() }
}

const send = async (method: string, url: string, body?: JsonObject): Promise<number> => {
  const headers = { 'content-type': 'application/json' }
  return (await fetch(url, { method, headers, body: JSON.stringify(body) })).status
}

async function hasStatus<T>(follower: Follower<T>, wanted: string): Promise<void> {
  if (follower.status === wanted) return
  await new Promise<void>(resolve => follower.on('status', status => status === wanted && resolve()))
}

test('a json-server file is served as it is: numeric ids as texts, missing ids made, objects left out and said', async t => {
  const folder = await temporaryFolder(t, { 'db.json': jsonServerFile })
  const served = await serve(t, ['db.json'], { cwd: folder })
  assert.deepEqual((await get(`${served.api}/posts`)).body, [
    { id: '1', title: 'a title', views: 100 },
    { id: '2', title: 'another title' },
  ])
  assert.deepEqual((await get(`${served.api}/comments`)).body, [
    { id: '1', text: 'second', postId: 1 },
    { id: '2', text: 'first', postId: 1 },
    { id: '3', text: 'third' },
  ])
  assert.equal((await get(`${served.api}/profile`)).status, 404)
  await served.printed(/profile is not served: it is an object/)
  await served.printed(/numbers became texts \("1" for 1\) in posts \(1 row\), comments \(1 row\)/)
  await served.printed(/Rows without an id got one: comments \(2 rows\)/)
  await served.printed(/posts +http:\S+ +topics posts\/# +new, 2 rows/)
  assert.equal(await served.stop(), 0)
  assert.match(served.stdout, /Stopped\.\n$/)
})

test('the three commands that are printed fit what is served', async t => {
  const folder = await temporaryFolder(t, { 'db.json': jsonServerFile })
  const served = await serve(t, ['db.json', '--memory'], { cwd: folder })
  assert.match(served.stdout, new RegExp(`lockstep follow ${served.api}/posts\n`))
  assert.match(served.stdout, new RegExp(`lockstep tail 'posts/#' --broker ${served.broker}\n`))
  const [, url, body] = await served.printed(/curl -X PATCH (\S+) .* -d '(.*)'/)
  assert.equal(await send('PATCH', url!, JSON.parse(body!)), 200)
})

test("Lockstep's own form sets root, topics and schemas, and nested rows stand below their parents", async t => {
  const folder = await temporaryFolder(t, { 'api.yaml': lockstepFile })
  const served = await serve(t, [join(folder, 'api.yaml')])
  assert.match(served.api, /\/api\/v1$/)
  assert.deepEqual((await get(`${served.api}/people/johndoe/friends/ann`)).body, { id: 'ann', since: 2014 })
  assert.equal(await send('PATCH', `${served.api}/people/johndoe`, { email: 'nobody' }), 422)

  await using broker = await connectMqtt(served.broker)
  const heard = Promise.withResolvers<JsonObject>()
  await broker.subscribe(['acme/people/+'], ({ payload }) => heard.resolve(JSON.parse(payload)))
  assert.equal(await send('PATCH', `${served.api}/people/johndoe`, { name: 'John' }), 200)
  assert.deepEqual((await heard.promise)['changes'], { name: 'John' })
})

test('first rows are written once: a second start keeps what was changed and deleted, --reset begins afresh', async t => {
  const folder = await temporaryFolder(t, { 'db.json': jsonServerFile })
  const first = await serve(t, ['db.json'], { cwd: folder })
  assert.equal(await send('PATCH', `${first.api}/posts/1`, { title: 'mine' }), 200)
  assert.equal(await send('DELETE', `${first.api}/posts/2`), 204)
  assert.equal(await first.stop(), 0)

  const second = await serve(t, ['db.json'], { cwd: folder })
  await second.printed(/posts .* kept\n/)
  assert.doesNotMatch(second.stderr, /became texts/)
  assert.deepEqual((await get(`${second.api}/posts`)).body, [{ id: '1', title: 'mine', views: 100 }])

  for (const reset of [['--reset'], []]) {
    const args = ['serve', 'db.json', '--port', '0', '--mqtt-port', '0', ...reset]
    const { code, stderr } = await runProgram(t, args, { cwd: folder })
    assert.equal(code, 1)
    assert.match(stderr, /^lockstep: \S+ is in use by a running service\. .*--data\.\n$/)
  }
  assert.equal(await second.stop('SIGTERM'), 0)

  const data = join(folder, '.lockstep', 'db.json')
  await writeFile(join(data, 'mine.txt'), 'not theirs')
  const third = await serve(t, ['db.json', '--reset'], { cwd: folder })
  assert.match(third.stderr, /^Deleted \.lockstep\/db\.json\/lockstep\.db$/m)
  assert.equal(((await get(`${third.api}/posts`)).body as unknown[]).length, 2)
  assert.ok((await readdir(data)).includes('mine.txt'))
})

test('--reset deletes nothing in a folder that it did not make, and a database without its record is not opened', async t => {
  const folder = await temporaryFolder(t, { 'db.json': jsonServerFile })
  await mkdir(join(folder, 'data'))
  await writeFile(join(folder, 'data', 'lockstep.db'), 'precious')
  for (const reset of [['--reset'], []]) {
    const args = ['serve', 'db.json', '--data', 'data', '--port', '0', '--mqtt-port', '0', ...reset]
    const { code, stderr } = await runProgram(t, args, { cwd: folder })
    assert.equal(code, 1)
    assert.match(stderr, /first-rows\.json/)
    assert.deepEqual(await readdir(join(folder, 'data')), ['lockstep.db'])
  }
})

test('--memory keeps nothing, --read-only refuses writes', async t => {
  const folder = await temporaryFolder(t, { 'db.json': jsonServerFile })
  const served = await serve(t, ['db.json', '--memory', '--read-only'], { cwd: folder })
  assert.equal(await send('POST', `${served.api}/posts`, { title: 'x' }), 405)
  const options = await fetch(`${served.api}/posts`, { method: 'OPTIONS' })
  assert.equal(options.headers.get('allow'), 'GET, HEAD, OPTIONS')
  assert.equal((await get(`${served.api}/posts`)).status, 200)
  assert.deepEqual(await readdir(folder), ['db.json'])
})

test('/health says how far the broker is behind, also after the file has changed', async t => {
  const folder = await temporaryFolder(t, { 'db.json': '{"posts":[{"id":1}]}' })
  const served = await serve(t, ['db.json', '--memory'], { cwd: folder })
  const readHealth = async (): Promise<{ status: string; streams: object; broker: object }> =>
    (await (await fetch(`${served.api}/health`)).json()) as never
  assert.deepEqual((await readHealth()).broker, { connected: true })
  assert.deepEqual(Object.keys((await readHealth()).streams), ['posts'])
  await writeFile(join(folder, 'db.json'), '{"posts":[{"id":1}],"notes":[]}')
  await served.printed(/notes/)
  const { status, streams } = await readHealth()
  assert.deepEqual([status, Object.keys(streams)], ['ok', ['posts', 'notes']])
})

test('a changed file takes effect: new resources and schemas, while event streams stay open and data stays', async t => {
  const folder = await temporaryFolder(t, { 'api.yaml': lockstepFile })
  const served = await serve(t, ['api.yaml'], { cwd: folder })
  const events = await fetch(`${served.api}/people/_changes`, { headers: { accept: 'text/event-stream' } })
  const reader = events.body!.pipeThrough(new TextDecoderStream()).getReader()

  const stricter = lockstepFile.replace('{ type: string }', '{ type: string, minLength: 3 }')
  await writeFile(join(folder, 'api.yaml'), `${stricter}\n  projects:\n    rows: [{ id: atlas }]\n`)
  await served.printed(/people: has a new schema/)
  await served.printed(/projects: new, 1 row/)
  assert.deepEqual((await get(`${served.api}/projects`)).body, [{ id: 'atlas' }])
  assert.equal(await send('PATCH', `${served.api}/people/johndoe`, { name: 'Jo' }), 422)
  assert.equal(await send('PATCH', `${served.api}/people/johndoe`, { name: 'John' }), 200)
  let text = ''
  while (!text.includes('"changes":{"name":"John"}')) {
    const { done, value } = await reader.read()
    assert.ok(!done, 'the event stream ended')
    text += value
  }
  await reader.cancel()

  // Editors replace a file by another one.
  await writeFile(join(folder, 'api.yaml~'), lockstepFile.replace('root: /api/v1', 'root: /api/v2'))
  await rename(join(folder, 'api.yaml~'), join(folder, 'api.yaml'))
  await served.printed(/projects: served no more; what is kept of it stays/)
  await served.printed(/root: takes effect at the next start/)
  assert.equal((await get(`${served.api}/projects`)).status, 404)
  assert.deepEqual((await get(`${served.api}/people/johndoe`)).body, {
    id: 'johndoe',
    name: 'John',
    email: 'john@example.com',
  })
})

test('event streams of a collection that is served no more end, so that its followers learn it', async t => {
  const folder = await temporaryFolder(t, { 'db.json': '{"posts":[{"id":1}],"tags":[{"id":"red"}]}' })
  const served = await serve(t, ['db.json', '--memory'], { cwd: folder })
  const told = Promise.withResolvers<string>()
  await using lockstep = await connect({ api: served.api, onError: error => told.resolve(String(error)) })
  const [posts, tags] = [lockstep.follow('/posts'), lockstep.follow('/tags')]
  for (const follower of [posts, tags]) await hasStatus(follower, 'live')
  const stale = hasStatus(tags, 'stale')
  const statuses: string[] = []
  posts.on('status', status => statuses.push(status))
  await writeFile(join(folder, 'db.json'), '{"posts":[{"id":1}]}')
  await stale
  assert.match(await told.promise, /\/tags\/_changes\S* was answered with 404/)
  assert.equal(tags.state.size, 1)
  assert.deepEqual(statuses, [], 'the other event stream stayed open')
})

test('new streams are published after a change of the file', async t => {
  const folder = await temporaryFolder(t, { 'db.json': '{"posts":[]}' })
  const served = await serve(t, ['db.json', '--memory'], { cwd: folder })
  await using broker = await connectMqtt(served.broker)
  const heard = Promise.withResolvers<string>()
  await broker.subscribe(['tags/#'], ({ topic }) => heard.resolve(topic))
  await writeFile(join(folder, 'db.json'), '{"posts":[],"tags":[]}')
  await served.printed(/tags: new/)
  assert.equal(await send('PUT', `${served.api}/tags/red`, {}), 201)
  assert.equal(await heard.promise, 'tags/red')
})

test('a broken file says line and fault, and what runs goes on; so it does where the file is gone', async t => {
  const folder = await temporaryFolder(t, { 'db.json': jsonServerFile })
  const served = await serve(t, ['db.json', '--memory'], { cwd: folder })
  await writeFile(join(folder, 'db.json'), '{\n  "posts": [\n    { "id": 1 },\n  ]\n}\n')
  await served.printed(/db\.json:4:3 {2}is not JSON: Unexpected token '\]'\nWhat runs goes on as before\./)
  assert.equal(((await get(`${served.api}/posts`)).body as unknown[]).length, 2)
  await rm(join(folder, 'db.json'))
  await served.printed(/db\.json is gone\. What runs goes on as before\./)
  await writeFile(join(folder, 'db.json'), jsonServerFile.replace('"comments"', '"remarks"'))
  await served.printed(/remarks: new, 3 rows/)
  assert.equal((await get(`${served.api}/posts/1`)).status, 200)
})

test('a port that is taken is said with the option that chooses another, and nothing was made or deleted', async t => {
  const folder = await temporaryFolder(t, { 'db.json': jsonServerFile })
  const blocker = createServer().listen(0, '127.0.0.1')
  await once(blocker, 'listening')
  t.after(() => blocker.close())
  const port = String((blocker.address() as AddressInfo).port)
  for (const [args, option] of [
    [['--port', port, '--mqtt-port', '0'], '--port'],
    [['--port', '0', '--mqtt-port', port], '--mqtt-port'],
  ] as const) {
    const { code, stderr } = await runProgram(t, ['serve', 'db.json', ...args], { cwd: folder })
    assert.equal(code, 1)
    assert.match(stderr, new RegExp(`^lockstep: Port ${port} .*taken.* with ${option}\\b`))
  }
  assert.deepEqual(await readdir(folder), ['db.json'])
})

test('with --broker it publishes to a broker that runs already', async t => {
  const folder = await temporaryFolder(t, { 'db.json': '{"posts":[]}' })
  const first = await serve(t, ['db.json', '--memory'], { cwd: folder })
  const url = first.broker.replace('://', '://user:secret@')
  const args = ['serve', 'db.json', '--memory', '--port', '0', '--broker', url]
  const second = startProgram(t, args, { cwd: folder })
  await second.printed(/broker +mqtt:\/\/127\.0\.0\.1:\d+\n/)
  await second.printed(/wrong password|user name or password is wrong/)
  assert.doesNotMatch(second.stdout + second.stderr, /secret/)
  assert.equal(await second.stop(), 0)
})
