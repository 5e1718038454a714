/** `lockstep mirror` as a program: it mirrors, keeps what it saw over a kill, says the faults of its file, and learns. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { runProgram, startProgram, temporaryFolder } from './program.ts'

/** `/people`, by a Map that PUT fills. */
async function openApi(t: TestContext): Promise<string> {
  const people = new Map([['1', { id: 1, name: 'Ann' }]])
  const server = createServer(async (request, response) => {
    const id = request.url!.split('/')[2]
    let body = ''
    for await (const part of request) body += part
    if (request.method === 'PUT') people.set(id!, { id: Number(id), ...JSON.parse(body) })
    const found = id === undefined ? [...people.values()] : people.get(id)
    response.writeHead(found === undefined ? 404 : 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(found ?? {}))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const ports = ['--port', '0', '--mqtt-port', '0']

test('lockstep mirror passes requests on, tells what they changed, and goes on after a kill where it was', async t => {
  const api = await openApi(t)
  const cwd = await temporaryFolder(t, {})
  const first = startProgram(t, ['mirror', api, '--resources', 'people', ...ports], { cwd })
  const [, proxy] = await first.printed(/Proxy +(http:\S+)/)
  await first.printed(/scanned once/)
  const put = (name: string): RequestInit => ({ method: 'PUT', body: JSON.stringify({ name }) })
  assert.deepEqual(await (await fetch(`${proxy}/people/1`, put('Anna'))).json(), { id: 1, name: 'Anna' })
  const events = await fetch(`${proxy}/_mirror/people/_changes?after=earliest`, {
    headers: { accept: 'text/event-stream' },
  })
  let heard = ''
  for await (const part of events.body!.pipeThrough(new TextDecoderStream())) {
    heard += part
    if (heard.includes('"changes":{"name":"Anna"}')) break
  }
  await first.stop('SIGKILL')
  await fetch(`${api}/people/2`, put('Bob'))
  const second = startProgram(t, ['mirror', api, '--resources', 'people', ...ports], { cwd })
  const [, again] = await second.printed(/Proxy +(http:\S+)/)
  await second.printed(/scanned once/)
  const page = await (await fetch(`${again}/_mirror/people/_changes?after=earliest`)).json()
  const { changes } = page as { changes: { event: string; resource: string }[] }
  assert.deepEqual(
    changes.map(({ event, resource }) => `${event} ${resource}`),
    ['created /people/1', 'modified /people/1', 'created /people/2'],
  )
  assert.equal(await second.stop('SIGINT'), 0)
})

test('lockstep mirror says each fault of its file with its line', async t => {
  const cwd = await temporaryFolder(t, {
    'mirror.yaml':
      'upstream: http://127.0.0.1:1\nresources:\n  people: { lst: /x }\n  orders: { list: orders }\n',
  })
  const { code, stderr } = await runProgram(t, ['mirror', '--config', 'mirror.yaml'], { cwd })
  assert.equal(code, 1)
  assert.match(
    stderr,
    /mirror\.yaml cannot be used:\n.*mirror\.yaml:3:13 {2}\/resources\/people\/lst {2}is not known here/,
  )
  assert.match(
    stderr,
    /mirror\.yaml:4:3 {2}\/resources\/orders {2}The path "orders" does not begin with a slash/,
  )
})

test('lockstep mirror --learn proposes a file from what was asked through it', async t => {
  const program = startProgram(t, ['mirror', await openApi(t), '--learn', '--port', '0'])
  const [, proxy] = await program.printed(/Listening at (http:\S+)/)
  for (const path of ['/people', '/people/1']) await (await fetch(proxy + path)).arrayBuffer()
  assert.equal(await program.stop('SIGINT'), 0)
  assert.match(program.stdout, /^upstream: http:.*\nresources:\n {2}people: \{\}\n$/m)
})

test('lockstep mirror without a word about what to mirror says how to', async t => {
  const { code, stderr } = await runProgram(t, ['mirror', 'http://127.0.0.1:1'])
  assert.equal(code, 1)
  assert.match(stderr, /--resources people,orders; or --config, --openapi or --learn/)
})
