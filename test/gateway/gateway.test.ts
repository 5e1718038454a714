/** The gateway on real sockets: where requests go, what comes back, what happens when a service is slow, dead or replaced. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { FrameBoundary } from '../../src/gateway/frame-boundary.ts'
import { exchangeBytes, openRawService, openTestGateway, openTestService } from './stage.ts'

const ask = async (
  url: string,
  init?: RequestInit,
): Promise<{ status: number; headers: Headers; body: string }> => {
  const response = await fetch(url, { redirect: 'manual', ...init })
  return { status: response.status, headers: response.headers, body: await response.text() }
}

test('each service has its paths, a mounted one hears them without its mount, and what nobody has is 404', async t => {
  const people = await openTestService(t)
  const reports = await openTestService(t)
  const gateway = await openTestGateway(t, {
    services: {
      people: { instances: [people.url], paths: ['/people', '/teams'], root: '/v1' },
      reports: { instances: [reports.url], mount: '/stats/reports' },
    },
  })
  const url = gateway.urls['internal']!
  const heard = async (path: string): Promise<string> => JSON.parse((await ask(url + path)).body).url
  assert.equal(await heard('/api/v1/people?limit=1'), '/v1/people?limit=1')
  assert.equal(await heard('/api/v1/teams/red'), '/v1/teams/red')
  assert.equal(await heard('/api/v1/stats/reports'), '/')
  assert.equal(await heard('/api/v1/stats/reports/a/b'), '/a/b')
  for (const path of ['/', '/api/v1', '/api/v1/peoples', '/api/v2/people', '/people', '/api/v1/stats']) {
    const { status, headers, body } = await ask(url + path)
    assert.deepEqual(
      [status, headers.get('content-type'), JSON.parse(body).code],
      [404, 'application/problem+json', 'not-found'],
      path,
    )
  }
})

test('bodies of all sizes pass both ways, by length and in chunks, and one over the limit does not', async t => {
  const service = await openTestService(t, (request, response) => {
    if (request.url === '/people/later') {
      request.resume().on('end', () => response.end())
      return
    }
    if (request.headers['x-chunked']) response.flushHeaders()
    else response.setHeader('content-length', request.headers['content-length'] ?? 0)
    request.pipe(response)
  })
  const gateway = await openTestGateway(t, {
    services: { people: { instances: [service.url], maxBodyBytes: 3_000_000 } },
  })
  const url = `${gateway.urls['internal']}/api/v1/people`
  for (const size of [0, 1, 20_000, 2_900_000]) {
    for (const chunked of [false, true]) {
      const bytes = Buffer.alloc(size, 'abcdefghij')
      const body = chunked ? new Blob([bytes]).stream() : bytes
      const headers: Record<string, string> = chunked ? { 'x-chunked': '1' } : {}
      const response = await fetch(url, { method: 'POST', body, headers, duplex: 'half' } as RequestInit)
      assert.ok(bytes.equals(Buffer.from(await response.arrayBuffer())), `${size} ${chunked}`)
    }
  }
  const tooLarge = await ask(url, { method: 'POST', body: Buffer.alloc(3_000_001) })
  assert.deepEqual([tooLarge.status, JSON.parse(tooLarge.body).code], [413, 'body-too-large'])
  const chunks = `5000\r\n${'x'.repeat(0x5000)}\r\n`.repeat(160)
  const text = await exchangeBytes(
    gateway.urls['internal']!,
    `POST /api/v1/people/later HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`,
    /body-too-large/,
  )
  assert.match(text, /413/)
  const asked = await exchangeBytes(
    gateway.urls['internal']!,
    'POST /api/v1/people HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3000001\r\n\r\n',
    /body-too-large/,
  )
  assert.doesNotMatch(asked, /100 Continue/)
})

test('versions stand side by side, and one that ends says when', async t => {
  const old = await openTestService(t, (_request, response) => response.end('old'))
  const now = await openTestService(t, (_request, response) => response.end('new'))
  const gateway = await openTestGateway(t, {
    versions: {
      v1: { deprecated: '2026-01-01', sunset: '2027-01-01', link: 'https://example.com/v2' },
      v2: {},
    },
    services: { people: { versions: { v1: { instances: [old.url] }, v2: { instances: [now.url] } } } },
  })
  const url = gateway.urls['internal']!
  const first = await ask(`${url}/api/v1/people`)
  assert.deepEqual(
    [first.body, first.headers.get('deprecation'), first.headers.get('sunset'), first.headers.get('link')],
    [
      'old',
      '@1767225600',
      'Fri, 01 Jan 2027 00:00:00 GMT',
      '<https://example.com/v2>; rel="deprecation"; type="text/html"',
    ],
  )
  const second = await ask(`${url}/api/v2/people`)
  assert.deepEqual([second.body, second.headers.get('deprecation')], ['new', null])
})

test('places that services name are those of the front', async t => {
  const users = await openTestService(t)
  const service = await openTestService(t, (request, response) => {
    const own = `http://${request.headers.host}`
    response.setHeader('location', `${own}/people/7?a=b`)
    response.setHeader('content-location', '/people/7')
    response.setHeader(
      'link',
      `</people/_changes>; rel="changes"; title="a <b>", <${users.url}/users>; rel="embedded", <https://example.com/x>; rel=x`,
    )
    response.setHeader('set-cookie', [
      'a=b; Path=/; HttpOnly',
      'c=d; Path=/people/7; Domain=127.0.0.1',
      'e=f',
    ])
    response.setHeader('connection', 'x-private')
    response.setHeader('x-private', 'for this hop')
    response.end()
  })
  const gateway = await openTestGateway(t, {
    services: { people: { instances: [service.url] }, users: { instances: [users.url] } },
  })
  const url = gateway.urls['internal']!
  const { headers } = await ask(`${url}/api/v1/people`)
  assert.equal(headers.get('location'), `${url}/api/v1/people/7?a=b`)
  assert.equal(headers.get('content-location'), '/api/v1/people/7')
  assert.equal(
    headers.get('link'),
    '</api/v1/people/_changes>; rel="changes"; title="a <b>", </api/v1/users>; rel="embedded", <https://example.com/x>; rel=x',
  )
  assert.deepEqual(headers.getSetCookie(), [
    'a=b; Path=/api/v1/people; HttpOnly',
    'c=d; Path=/api/v1/people/7',
    'e=f',
  ])
  assert.equal(headers.get('x-private'), null)
})

test('the id of a request is the client’s, or made; a place in a trace is left to the service', async t => {
  const service = await openTestService(t)
  const gateway = await openTestGateway(t, { services: { people: { instances: [service.url] } } })
  const heard = async (headers: Record<string, string>): Promise<[Record<string, string>, string | null]> => {
    const answer = await ask(`${gateway.urls['internal']}/api/v1/people`, { headers })
    return [JSON.parse(answer.body).headers, answer.headers.get('x-request-id')]
  }
  const [own, ownId] = await heard({ 'x-request-id': 'mine' })
  assert.deepEqual([own['x-request-id'], ownId], ['mine', 'mine'])
  const [made, madeId] = await heard({})
  assert.equal(made['x-request-id'], madeId)
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const [traced, tracedId] = await heard({ traceparent, tracestate: 'a=b' })
  assert.deepEqual(
    [traced['traceparent'], traced['tracestate'], traced['x-request-id'], tracedId],
    [traceparent, 'a=b', undefined, traceparent],
  )
  const [untraced] = await heard({ traceparent: 'nonsense', tracestate: 'a=b' })
  assert.deepEqual([untraced['traceparent'], untraced['tracestate']], [undefined, undefined])
})

test('an event stream passes as it comes, and its end at the client is its end at the service', async t => {
  let write: (text: string) => void = () => {}
  const closed = Promise.withResolvers<void>()
  const service = await openTestService(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.flushHeaders()
    write = text => void response.write(text)
    response.on('close', () => closed.resolve())
  })
  const gateway = await openTestGateway(t, { services: { people: { instances: [service.url] } } })
  const controller = new AbortController()
  const response = await fetch(`${gateway.urls['internal']}/api/v1/people/_changes`, {
    signal: controller.signal,
  })
  const reader = response.body!.getReader()
  for (const text of ['data: 1\n\n', 'data: 2\n\n']) {
    write(text)
    assert.equal(Buffer.from((await reader.read()).value!).toString(), text)
  }
  controller.abort()
  await closed.promise
})

test('a WebSocket passes both ways, a refused one gets the service’s answer, and both ends close together', async t => {
  const service = await openTestService(t, (_request, response) => response.writeHead(403).end('not you'))
  const sockets = new WebSocketServer({ noServer: true })
  const gone = Promise.withResolvers<void>()
  service.server.on('upgrade', (request, socket, head) => {
    if (request.url === '/people/no') {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\n\r\nnot you')
      return
    }
    sockets.handleUpgrade(request, socket, head, opened => {
      opened.on('message', data => opened.send(`echo ${data}`)).on('close', () => gone.resolve())
    })
  })
  const gateway = await openTestGateway(t, { services: { people: { instances: [service.url] } } })
  const url = `${gateway.urls['internal']!.replace('http', 'ws')}/api/v1/people`
  const client = new WebSocket(`${url}/live`)
  await once(client, 'open')
  for (const text of ['a', 'b'.repeat(100_000)]) {
    client.send(text)
    const [data] = await once(client, 'message')
    assert.equal(String(data), `echo ${text}`)
  }
  client.close()
  await gone.promise
  const refused = new WebSocket(`${url}/no`)
  const [, answer] = await once(
    refused.on('error', () => {}),
    'unexpected-response',
  )
  assert.equal(answer.statusCode, 403)
  const nowhere = new WebSocket(url.replace('people', 'nothing'))
  const [, missing] = await once(
    nowhere.on('error', () => {}),
    'unexpected-response',
  )
  assert.equal(missing.statusCode, 404)
})

test('requests go to the instance with the least to do; one that dies gets none, and no request of it is lost', async t => {
  const counts = [0, 0]
  const open = (index: number) =>
    openTestService(t, (request, response) => {
      if (request.url !== '/health') counts[index]!++
      response.end(String(index))
    })
  const [first, second] = [await open(0), await open(1)]
  const gateway = await openTestGateway(t, {
    services: { people: { instances: [first.url, second.url], health: { everyMs: 20, failures: 1 } } },
  })
  const url = `${gateway.urls['internal']}/api/v1/people`
  for (let index = 0; index < 10; index++) await ask(url)
  assert.deepEqual(counts, [5, 5])
  await first.close()
  for (let index = 0; index < 10; index++) assert.deepEqual([(await ask(url)).status], [200])
  while (gateway.health().services['people']!.well > 1) await new Promise(setImmediate)
  assert.equal(gateway.health().status, 'degraded')
  await second.close()
  const { status, body } = await ask(url)
  assert.deepEqual([status, JSON.parse(body).code], [503, 'api-unreachable'])
  assert.doesNotMatch(body, /127\.0\.0\.1/)
})

test('an idempotent request is sent again when its connection is lost, any other never', async t => {
  const seen: string[] = []
  const url = await openRawService(t, (socket, text) => {
    const method = text.slice(0, text.indexOf(' '))
    seen.push(method)
    if (seen.filter(each => each === method).length === 1) socket.destroy()
    else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
  })
  const gateway = await openTestGateway(t, {
    services: { people: { instances: [url], breaker: { failures: 100 } } },
  })
  const path = `${gateway.urls['internal']}/api/v1/people`
  assert.equal((await ask(path)).status, 200)
  assert.equal((await ask(path, { method: 'DELETE' })).status, 200)
  assert.equal((await ask(path, { method: 'POST', body: 'x' })).status, 503)
  assert.deepEqual(seen, ['GET', 'GET', 'DELETE', 'DELETE', 'POST'])
})

test('an answer that cannot be read is 502, one that is late 504, and one that breaks off is cut', async t => {
  const answers: Record<string, string> = {
    '/people/two': 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
    '/people/cut': 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc',
    '/people/extra':
      'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil',
  }
  const url = await openRawService(t, (socket, text) => {
    const path = text.split(' ')[1]!
    const answer = answers[path]
    if (answer !== undefined) socket.write(answer)
    if (path === '/people/cut') setImmediate(() => socket.end())
  })
  const gateway = await openTestGateway(t, {
    services: { people: { instances: [url], timeouts: { headMs: 200 }, breaker: { failures: 100 } } },
  })
  const path = `${gateway.urls['internal']}/api/v1/people`
  const codes = async (name: string): Promise<unknown> => {
    const { status, body } = await ask(path + name)
    return [status, JSON.parse(body).code]
  }
  assert.deepEqual(await codes('/two'), [502, 'api-refused'])
  assert.deepEqual(await codes('/late'), [504, 'timeout'])
  await assert.rejects(ask(`${path}/cut`))
  for (let index = 0; index < 3; index++) {
    const { body } = await ask(`${path}/extra`).catch(() => ({ body: 'refused' }))
    assert.doesNotMatch(body, /evil/)
  }
})

test('a service that keeps failing is left alone for a while, then tried with one request', async t => {
  let isWell = false
  let connections = 0
  const url = await openRawService(t, socket => {
    connections++
    if (isWell) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    else socket.destroy()
  })
  const gateway = await openTestGateway(t, {
    services: {
      people: { instances: [url], health: false, retries: 0, breaker: { failures: 3, openMs: 100 } },
    },
  })
  const path = `${gateway.urls['internal']}/api/v1/people`
  for (let index = 0; index < 20; index++) assert.equal((await ask(path)).status, 503)
  assert.ok(connections < 20, String(connections))
  isWell = true
  for (;;) if ((await ask(path)).status === 200) break
  assert.equal(gateway.health().status, 'ok')
})

test('a slow reader slows its own response only, and little of it is held in memory', async t => {
  let written = 0
  const service = await openTestService(t, (request, response) => {
    if (!request.url!.endsWith('/large')) {
      response.end('small')
      return
    }
    const part = Buffer.alloc(65_536)
    const more = (): void => {
      while (written < 200_000_000) {
        written += part.length
        if (!response.write(part)) {
          response.once('drain', more)
          return
        }
      }
      response.end()
    }
    more()
  })
  const gateway = await openTestGateway(t, { services: { people: { instances: [service.url] } } })
  const { port } = new URL(gateway.urls['internal']!)
  const socket = connect(Number(port), '127.0.0.1', () => {
    socket.write('GET /api/v1/people/large HTTP/1.1\r\nHost: a\r\n\r\n')
  })
  t.after(() => socket.destroy())
  await once(socket, 'readable')
  for (let last = -1; last !== written; ) {
    last = written
    for (let index = 0; index < 20; index++) {
      assert.equal((await ask(`${gateway.urls['internal']}/api/v1/people/small`)).body, 'small')
    }
  }
  assert.ok(written < 50_000_000, `${written} bytes were taken for a client that reads nothing`)
})

test('a new configuration takes effect without dropping a request, one that cannot be used changes nothing', async t => {
  const held = Promise.withResolvers<void>()
  const old = await openTestService(t, async (request, response) => {
    if (request.url === '/people/slow') await held.promise
    response.end('old')
  })
  const now = await openTestService(t, (_request, response) => response.end('new'))
  const gateway = await openTestGateway(t, { services: { people: { instances: [old.url] } } })
  const url = `${gateway.urls['internal']}/api/v1/people`
  let isOver = false
  const load = Array.from({ length: 4 }, async () => {
    while (!isOver) assert.equal((await ask(url)).status, 200)
  })
  const slow = ask(`${url}/slow`)
  while (!old.requests.some(request => request.url === '/people/slow')) await new Promise(setImmediate)
  const settings = (instance: string) => ({
    limits: { drainMs: 20_000 },
    services: { people: { instances: [instance] } },
  })
  await assert.rejects(gateway.replace({ ...settings(now.url), sevrices: {} }, {}), {
    code: 'invalid-option',
  })
  assert.equal((await ask(url)).body, 'old')
  for (let index = 0; index < 5; index++) {
    await gateway.replace(settings(now.url), {})
    assert.equal((await ask(url)).body, 'new')
    await gateway.replace(settings(old.url), {})
    assert.equal((await ask(url)).body, 'old')
  }
  await gateway.replace(settings(now.url), {})
  held.resolve()
  assert.equal((await slow).body, 'old')
  isOver = true
  await Promise.all(load)
})

test('closing ends event streams and WebSockets at once, so that their clients come back', async t => {
  const service = await openTestService(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
  })
  const sockets = new WebSocketServer({ noServer: true })
  service.server.on('upgrade', (request, socket, head) =>
    sockets.handleUpgrade(request, socket, head, opened => opened.send('hello')),
  )
  const gateway = await openTestGateway(t, {
    admin: { port: 0 },
    limits: { drainMs: 600_000 },
    services: { people: { instances: [service.url] } },
  })
  const url = `${gateway.urls['internal']}/api/v1/people`
  const stream = await fetch(url)
  const client = new WebSocket(url.replace('http', 'ws'))
  await once(client, 'message')
  const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
  assert.match(metrics, /^lockstep_gateway_connections 2$/m)
  const closed = once(client, 'close')
  await gateway.close()
  assert.equal(await stream.text(), 'data: 1\n\n')
  assert.deepEqual((await closed)[0], 1012)
})

test('the end of a frame is found in whatever pieces it comes', () => {
  const frame = (length: number): Buffer => {
    const head =
      length < 126 ? [0x82, length] : length < 65_536 ? [0x82, 126, length >> 8, length & 255] : undefined
    const long = Buffer.alloc(10)
    long[0] = 0x82
    long[1] = 127
    long.writeBigUInt64BE(BigInt(length), 2)
    return Buffer.concat([head === undefined ? long : Buffer.from(head), Buffer.alloc(length, 0x88)])
  }
  const masked = Buffer.from([0x81, 0x81, 1, 2, 3, 4, 5])
  const bytes = Buffer.concat([frame(0), frame(5), frame(126), masked, frame(70_000), frame(1)])
  for (const size of [1, 2, 3, 7, 64, 1_000, bytes.length]) {
    const boundary = new FrameBoundary()
    let ends = 0
    for (let at = 0; at < bytes.length; at += size) {
      boundary.take(bytes.subarray(at, at + size))
      if (boundary.isBetween) ends++
    }
    assert.equal(boundary.isBetween, true)
    if (size === 1) assert.equal(ends, 6)
  }
})

test('closing lets what runs come to its end and takes nothing new', async t => {
  const held = Promise.withResolvers<void>()
  const service = await openTestService(t, async (_request, response) => {
    await held.promise
    response.end('done')
  })
  const gateway = await openTestGateway(t, {
    limits: { drainMs: 20_000 },
    services: { people: { instances: [service.url] } },
  })
  const url = `${gateway.urls['internal']}/api/v1/people`
  const running = new Promise<string>((resolve, reject) => {
    httpRequest(url, response => {
      let text = ''
      response.on('data', part => {
        text += part
      })
      response.on('end', () => resolve(text))
    })
      .on('error', reject)
      .end()
  })
  while (service.requests.length === 0) await new Promise(setImmediate)
  const closed = gateway.close()
  await assert.rejects(fetch(url))
  held.resolve()
  assert.equal(await running, 'done')
  await closed
})
