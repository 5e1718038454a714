/** The adapter to node:http, on real sockets: bodies, backpressure, clients that leave, limits, and the server's end. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, request as httpRequest } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import test from 'node:test'
import { isLockstepError, type ReportError } from '../../src/contract/index.ts'
import type { HttpHandler } from '../../src/service/http/exchange.ts'
import { createNodeListener, type HttpServerOptions, openHttpServer } from '../../src/service/http/node.ts'
import { askOver, assertProblem, eventually, openTestService, type TestService } from '../support/service.ts'

async function serve(
  api: TestService,
  options: Partial<HttpServerOptions> = {},
): ReturnType<typeof openHttpServer> {
  return await openHttpServer(api.service, { port: 0, ...options })
}

/** A socket that writes a text and gives all that comes until it is closed. */
function speak(port: number, ...texts: readonly string[]): { socket: Socket; answer: Promise<string> } {
  const socket = connect(port, '127.0.0.1')
  for (const text of texts) socket.write(text)
  const answer = new Promise<string>(resolve => {
    let heard = ''
    socket.setEncoding('utf8').on('data', text => {
      heard += text
    })
    socket.on('error', () => {}).on('close', () => resolve(heard))
  })
  return { socket, answer }
}

test('a resource is written and read over a socket, with keep-alive', async () => {
  await using api = await openTestService()
  await using server = await serve(api)
  const created = await askOver(fetch, `${server.url}/people`, 'POST', { body: { id: 'é/+', name: 'A' } })
  assert.equal(created.status, 201)
  assert.equal(created.headers.get('content-length'), String(Buffer.byteLength(created.text)))
  const path = created.headers.get('location')!
  const got = await askOver(fetch, server.url + path, 'GET')
  assert.deepEqual(got.json, { id: 'é/+', name: 'A' })
  const head = await askOver(fetch, server.url + path, 'HEAD')
  assert.equal(head.headers.get('content-length'), got.headers.get('content-length'))
  const etag = got.headers.get('etag')!
  const same = await askOver(fetch, server.url + path, 'GET', { headers: { 'if-none-match': etag } })
  assert.deepEqual([same.status, same.text], [304, ''])
  assert.equal((await askOver(fetch, server.url + path, 'DELETE')).status, 204)
  assertProblem(await askOver(fetch, `${server.url}/people/..%2F`, 'GET'), 404, 'not-found')
  assertProblem(await askOver(fetch, `${server.url}/people?limit=0`, 'GET'), 400, 'invalid-query')
})

test('requests that are sent without waiting for answers are answered in their order', async () => {
  await using api = await openTestService()
  await using server = await serve(api)
  const put = (name: string): string =>
    `PUT /people/a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${name.length + 11}\r\n\r\n{"name":"${name}"}`
  const last = 'GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
  const heard = await speak(server.port, put('A') + put('Be') + put('Cee') + last).answer
  assert.deepEqual(heard.match(/HTTP\/1\.1 \d+/g), [
    'HTTP/1.1 201',
    'HTTP/1.1 200',
    'HTTP/1.1 200',
    'HTTP/1.1 404',
  ])
  assert.deepEqual(heard.match(/"name":"\w+"/g), ['"name":"A"', '"name":"Be"', '"name":"Cee"'])
})

test('dot segments and absolute URLs reach the service as they were sent', async () => {
  await using api = await openTestService()
  await using server = await serve(api)
  const ask = (target: string): Promise<string> =>
    speak(server.port, `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`).answer
  await api.ask('PUT', '/people/a', { body: { name: 'A' } })
  assert.match(await ask('/people/../people/a'), /^HTTP\/1\.1 400 [\s\S]*invalid-path/)
  assert.match(await ask('/people/./a'), /^HTTP\/1\.1 400 /)
  assert.match(await ask('//people/a'), /^HTTP\/1\.1 400 /)
  assert.match(await ask('http://example.com/people/a?_=1'), /^HTTP\/1\.1 200 /)
  assert.match(await ask('http://example.com'), /^HTTP\/1\.1 200 /)
  assert.match(await ask('*'), /^HTTP\/1\.1 404 /)
  assert.match(await ask('people/a'), /^HTTP\/1\.1 400 /)
})

test('413 reaches a client that is still sending 100 MB, declared or chunked, and little of it is read', async () => {
  await using api = await openTestService()
  await using server = await serve(api)
  for (const framing of [{ 'content-length': 100_000_000 }, { 'transfer-encoding': 'chunked' }]) {
    const headers = { 'content-type': 'application/json', ...framing }
    const request = httpRequest(`${server.url}/people`, { method: 'POST', headers })
    const chunk = Buffer.alloc(65_536, 0x20)
    let sent = 0
    const sendOn = (): void => {
      while (!request.destroyed && sent < 100_000_000) {
        sent += chunk.length
        if (!request.write(chunk)) {
          request.once('drain', sendOn)
          return
        }
      }
    }
    request.on('error', () => {})
    sendOn()
    const [response] = (await once(request, 'response')) as [import('node:http').IncomingMessage]
    let text = ''
    for await (const part of response.setEncoding('utf8')) text += part
    assert.equal(response.statusCode, 413)
    assert.equal(JSON.parse(text).code, 'body-too-large')
    assert.equal(response.headers.connection, 'close')
    request.destroy()
    assert.ok(sent < 50_000_000, `${sent} bytes were sent`)
  }
})

test('after a refused body the connection ends, so that its rest is never read as a request', async () => {
  await using api = await openTestService()
  await using server = await serve(api)
  const inner = 'DELETE /people/a HTTP/1.1\r\nHost: x\r\n\r\n'
  await api.ask('PUT', '/people/a', { body: { name: 'A' } })
  const { answer } = speak(
    server.port,
    `POST /people HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n${inner}`,
  )
  const heard = await answer
  assert.match(heard, /^HTTP\/1\.1 415 /)
  assert.match(heard, /connection: close/i)
  assert.equal(heard.match(/HTTP\/1\.1/g)!.length, 1)
  assert.equal((await api.ask('GET', '/people/a')).status, 200)
})

test('who sends a body that is too large and reads only afterwards still gets the answer', async () => {
  await using api = await openTestService()
  await using server = await serve(api)
  const size = 12_000_000
  const socket = connect(server.port, '127.0.0.1').setEncoding('utf8').pause()
  const head = `POST /people HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${size}\r\n\r\n`
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.write(head)
    socket.write('x'.repeat(size), error => (error ? reject(error) : resolve()))
  })
  let heard = ''
  for await (const part of socket) heard += part
  assert.match(heard, /^HTTP\/1\.1 413 [\s\S]*"body-too-large"/)
})

test('requests that could be read in two ways are refused', async () => {
  await using api = await openTestService()
  await using server = await serve(api)
  const body = '{"name":"A"}'
  for (const fields of [
    `Content-Length: ${body.length}\r\nContent-Length: ${body.length + 1}`,
    `Content-Length: ${body.length}\r\nTransfer-Encoding: chunked`,
    'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked',
    `Content-Length: +${body.length}`,
    `Content-Length : ${body.length}`,
    `X-A: b\n c\r\nContent-Length: ${body.length}`,
  ]) {
    const heard = await speak(
      server.port,
      `POST /people HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${fields}\r\n\r\n${body}`,
    ).answer
    assert.match(heard, /^HTTP\/1\.1 400 /, fields)
  }
  assert.deepEqual(await api.changes('people'), [])
})

test('a body that does not come in time is 408', async () => {
  await using api = await openTestService()
  await using server = await serve(api, { bodyTimeoutMs: 20 })
  const heard = await speak(
    server.port,
    'POST /people HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"name":',
  ).answer
  assert.match(heard, /^HTTP\/1\.1 408 [\s\S]*"code":"request-timeout"/)
})

test('a client that leaves in the middle of its body is nobody’s error', async () => {
  await using api = await openTestService()
  let ended = 0
  const listener = createNodeListener({
    owns: api.service.owns,
    handle: exchange => api.service.handle(exchange).finally(() => ended++),
  })
  const server = createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  for (const fields of ['Content-Length: 12', 'Transfer-Encoding: chunked']) {
    const { socket } = speak(
      port,
      `POST /people HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${fields}\r\n\r\n`,
    )
    await once(server, 'request')
    socket.destroy()
  }
  await eventually(() => ended === 2)
  server.close()
  assert.deepEqual(await api.changes('people'), [])
})

test('a body that something else has read is said to be, instead of waiting for it', async () => {
  await using api = await openTestService()
  const listener = createNodeListener(api.service)
  const server = createServer((request, response) => {
    request.resume().on('end', () => listener(request, response))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/people`
  const answer = await askOver(fetch, url, 'POST', { body: { name: 'A' } })
  assert.match(String(assertProblem(answer, 500, 'invalid-option')['detail']), /Mount Lockstep before/)
  assert.equal(api.errors.splice(0).length, 1)
  server.closeAllConnections()
  server.close()
})

test('mounted in another server, what is not the service’s goes on to the next handler', async () => {
  await using api = await openTestService({ root: '/api' })
  const listener = createNodeListener(api.service)
  const server = createServer((request, response) => {
    listener(request, response, () => response.end(`next: ${request.url}`))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  assert.equal((await askOver(fetch, `${url}/apix?a=1`, 'GET')).text, 'next: /apix?a=1')
  assertProblem(await askOver(fetch, `${url}/api/animals`, 'GET'), 404, 'not-found')
  assert.deepEqual((await askOver(fetch, `${url}/api/people?limit=5`, 'GET')).json, [])
  server.closeAllConnections()
  server.close()
})

test('a port that is taken is said to be', async () => {
  await using api = await openTestService()
  await using server = await serve(api)
  await assert.rejects(
    openHttpServer(api.service, { port: server.port }),
    error => isLockstepError(error, 'port-taken') && error.message.includes(String(server.port)),
  )
})

test('an address that is none of this machine is a clear error', async () => {
  await using api = await openTestService()
  await assert.rejects(
    openHttpServer(api.service, { port: 0, host: '192.0.2.1' }),
    error => isLockstepError(error, 'invalid-option') && /"192\.0\.2\.1" port 0/.test(error.message),
  )
})

test('what is no service, and options that are not known, open no server', async () => {
  await using api = await openTestService()
  const open = openHttpServer as (...values: unknown[]) => Promise<unknown>
  for (const [values, message] of [
    [[Promise.resolve(api.service), { port: 0 }], /a promise \(did you forget await\?\)/],
    [[undefined, { port: 0 }], /The service of openHttpServer is undefined/],
    [[api.service], /undefined where its options go/],
    [[api.service, { port: 0, url: 'http://localhost' }], /no option "url"/],
  ] as const) {
    await assert.rejects(
      open(...values),
      error => isLockstepError(error, 'invalid-option') && message.test(error.message),
    )
  }
  assert.throws(
    () => createNodeListener({} as TestService['service']),
    error => isLockstepError(error, 'invalid-option'),
  )
})

test('close ends idle connections at once and lets a request that runs finish', async () => {
  await using api = await openTestService()
  const server = await serve(api)
  const idle = speak(server.port, 'GET /people HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(idle.socket, 'data')
  const running = speak(
    server.port,
    'POST /people HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"name":',
  )
  await eventually(async () => (await fetch(`${server.url}/people`)).ok)
  const startedAt = performance.now()
  const closed = server.close(10_000)
  await idle.answer
  running.socket.write('"A"}')
  assert.match(await running.answer, /^HTTP\/1\.1 201 /)
  await Promise.all([closed, server.close()])
  assert.ok(performance.now() - startedAt < 5_000, 'it did not wait for the grace to be over')
  await assert.rejects(fetch(`${server.url}/people`))
})

test('close cuts what is not finished after the grace', async () => {
  await using api = await openTestService()
  const server = await serve(api)
  const stuck = speak(
    server.port,
    'POST /people HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"name":',
  )
  await eventually(async () => (await fetch(`${server.url}/people`)).ok)
  await server.close(20)
  await stuck.answer
})

test('a listener whose handler fails ends the connection and not the process', async () => {
  const server = createServer(
    createNodeListener({
      owns: () => true,
      handle: async ({ path }) =>
        path === '/throw'
          ? Promise.reject(new Error('no'))
          : { status: 200, headers: { 'x-bad': 'a\r\nb' }, body: '' },
    }),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  await assert.rejects(fetch(`${url}/throw`))
  await assert.rejects(fetch(`${url}/header`))
  server.closeAllConnections()
  server.close()
})

test('limits and ports of a server that cannot be used are refused', async () => {
  await using api = await openTestService()
  for (const options of [
    { port: 70_000 },
    { port: 80.5 },
    { port: 0, maxConnections: 0 },
    { port: 0, idleTimeoutMs: Number.POSITIVE_INFINITY },
    { port: 0, bodyTimeoutMs: Number.NaN },
  ]) {
    await assert.rejects(openHttpServer(api.service, options), { code: 'invalid-option' })
  }
})

test('an answer that cannot be sent is told, and its connection is cut', async () => {
  const reports: string[] = []
  const handler: HttpHandler = {
    handle: async () => ({ status: 200, headers: { 'x-broken': 'a\nb' }, body: '' }),
    owns: () => true,
  }
  const onError: ReportError = (error, { stage }) => void reports.push(`${stage}: ${error}`)
  await using server = await openHttpServer(handler, { port: 0, onError })
  await assert.rejects(fetch(server.url))
  assert.equal(reports.length, 1)
  assert.match(reports[0]!, /^response: .*Invalid character in header/)
})

test('requests sent ahead are handled one after another, so that their answers are not all held at once', async t => {
  let running = 0
  let most = 0
  const handler: HttpHandler = {
    owns: () => true,
    async handle() {
      most = Math.max(most, ++running)
      await new Promise(resolve => setImmediate(resolve))
      running--
      return { status: 200, headers: {}, body: 'x' }
    },
  }
  const server = createServer(createNodeListener(handler)).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const last = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
  const heard = await speak(port, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(30) + last).answer
  assert.equal(heard.match(/HTTP\/1\.1 200/g)?.length, 31)
  assert.equal(most, 1)
})

test('of requests sent ahead behind an event stream few are held, and the connection ends', {
  timeout: 60_000,
}, async () => {
  await using api = await openTestService()
  const reports: string[] = []
  const onError: ReportError = (error, { stage }) => void reports.push(`${stage}: ${error}`)
  await using server = await serve(api, { onError })
  const stream = 'GET /people/_changes HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n'
  const { answer } = speak(server.port, stream + 'GET /people HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(100_000))
  await answer
  assert.equal(reports.length, 1)
  assert.match(reports[0]!, /^pipeline: .*1000 requests on one connection/)
  await eventually(async () => (await api.service.health()).eventStreams === 0)
  assert.equal((await fetch(`${server.url}/people`)).status, 200)
})

test('of all connections together only so many requests wait behind others, and a connection that ends frees its own', {
  timeout: 60_000,
}, async t => {
  const handler: HttpHandler = { owns: () => true, handle: () => new Promise(() => {}) }
  const reports: string[] = []
  const onError: ReportError = (error, { stage }) => void reports.push(`${stage}: ${error}`)
  let requests = 0
  const listener = createNodeListener(handler, { onError })
  const server = createServer((request, response) => {
    requests++
    listener(request, response)
  }).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const open = async (count: number): Promise<ReturnType<typeof speak>> => {
    const goal = requests + count
    const line = speak(port, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(count))
    await eventually(() => requests >= goal)
    return line
  }
  const full: ReturnType<typeof speak>[] = []
  for (let index = 0; index < 10; index++) full.push(await open(1_001))
  const single = await open(1)
  assert.deepEqual(reports, [])
  await (await open(2)).answer
  assert.match(reports.splice(0).join(), /^pipeline: .*10000 requests in all/)
  full[0]!.socket.destroy()
  await eventually(async () => {
    const { socket } = await open(2)
    const isServed = reports.splice(0).length === 0
    socket.destroy()
    return isServed
  })
  for (const { socket } of [single, ...full]) socket.destroy()
})

test('once clients have left too much of their answers untaken, others hear 503 until that is over', async t => {
  const handler: HttpHandler = {
    owns: () => true,
    handle: async ({ path }) => ({
      status: 200,
      headers: {},
      body: path === '/large' ? 'x'.repeat(20_000_000) : 'x',
    }),
  }
  const server = createServer(createNodeListener(handler, { maxUnsentBytes: 10_000_000 })).listen(
    0,
    '127.0.0.1',
  )
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const slow = connect(port, '127.0.0.1').pause()
  slow.write('GET /large HTTP/1.1\r\nHost: x\r\n\r\n')
  const ask = async (): Promise<number> => (await fetch(`http://127.0.0.1:${port}/`)).status
  await eventually(async () => (await ask()) === 503)
  slow.destroy()
  await eventually(async () => (await ask()) === 200)
})
