import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect as connectTcp } from 'node:net'
import test from 'node:test'
import { WebSocket } from 'ws'
import { createFastClock } from '../client/manual-clock.ts'
import { eventually } from '../support/service.ts'
import { openScene } from './live-setup.ts'
import { connectEvents, connectSocket, hello } from './page-client.ts'

/** Opens a WebSocket and gives the status of the refusal. */
async function refusalOf(
  url: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; retryAfter: string | undefined }> {
  const socket = new WebSocket(url.replace('http', 'ws'), { headers })
  socket.on('error', () => {})
  const [, response] = await once(socket, 'unexpected-response')
  response.resume()
  socket.terminate()
  return { status: response.statusCode, retryAfter: response.headers['retry-after'] }
}

/** The status with which a handshake that is not quite right is refused. */
async function statusOfUpgrade(url: string, headers: Record<string, string>): Promise<number | undefined> {
  const right = { 'sec-websocket-version': '13', 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==' }
  const asked = request(url, {
    headers: { connection: 'upgrade', upgrade: 'websocket', ...right, ...headers },
  })
  asked.end()
  const [response] = await once(asked, 'response')
  response.resume()
  return response.statusCode
}

async function post(
  url: string,
  body: string,
  headers: Record<string, string> = {},
): Promise<readonly [number, string]> {
  const response = await fetch(url, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', ...headers },
  })
  return [response.status, ((await response.json()) as { code: string }).code]
}

test('nonsense ends a connection with a code that does not bring the page back', async () => {
  await using scene = await openScene()
  const { url } = await scene.open({ limits: { maxFrameBytes: 1_000 } })
  const cases: readonly (readonly [frame: unknown, code: string])[] = [
    ['{', 'invalid-json'],
    ['[]', 'invalid-frame'],
    ['{"type":7}', 'invalid-frame'],
    [{ ...hello(['/people']), protocol: 2 }, 'invalid-frame'],
    [hello(['people']), 'invalid-path'],
    [hello(['/people'], 'nonsense'), 'invalid-position'],
    [hello(['/people'], '', { from: 'then' }), 'invalid-frame'],
    [hello(['/people'], '', { ticket: 7 }), 'invalid-frame'],
    [{ type: 'hello', protocol: 1 }, 'invalid-frame'],
    [hello(['/strangers']), 'not-found'],
    [{ type: 'renew' }, 'invalid-frame'],
    ['x'.repeat(1_001), 'message-too-large'],
    [`${'['.repeat(100)}${']'.repeat(100)}`, 'json-too-deep'],
  ]
  for (const [frame, code] of cases) {
    await using page = await connectSocket(url, frame)
    assert.deepEqual(await page.ended, { status: 4000, code }, JSON.stringify(frame))
    const close = page.frames.at(-1)!
    assert.deepEqual([close.type, close['code'], close['retryAfterMs']], ['close', code, undefined])
  }
  await using page = await connectSocket(url, { type: 'of a later protocol' })
  page.send(hello(['/people'], '', { from: 'now' }))
  await page.type('live')
})

test('random bytes after the handshake end the connection, and the bridge goes on', async () => {
  await using scene = await openScene()
  const { url, bridge, reports } = await scene.open()
  const { port } = new URL(url)
  for (let turn = 0; turn < 20; turn++) {
    const socket = connectTcp(Number(port), '127.0.0.1')
    socket.on('error', () => {})
    socket.write(
      'GET /live HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    )
    await once(socket, 'data')
    // An unmasked text cannot be right, whatever follows.
    socket.end(Buffer.concat([Buffer.from([0x81, 0x05]), randomBytes(200)]))
    socket.resume()
    await once(socket, 'close')
  }
  await using page = await connectSocket(url, hello(['/people'], '', { from: 'now' }))
  await page.type('live')
  assert.deepEqual(bridge.health().connections, { websocket: 1, events: 0 })
  assert.deepEqual(reports.all, [])
})

test('what is no handshake, no hello or not of the bridge is answered over HTTP', async () => {
  await using scene = await openScene()
  const { url, bridge } = await scene.open({ limits: { maxFrameBytes: 500 } })
  assert.equal((await fetch(url)).status, 405)
  assert.equal((await fetch(`${url}ly`)).status, 404)
  assert.deepEqual(await post(url, '{'), [400, 'invalid-json'])
  assert.deepEqual(await post(url, '{"type":"pong"}'), [400, 'invalid-frame'])
  assert.deepEqual(await post(url, 'x'.repeat(501)), [413, 'body-too-large'])
  assert.deepEqual(await post(url, '{}', { 'content-type': 'text/plain' }), [415, 'unsupported-media-type'])
  assert.equal(await statusOfUpgrade(url, { 'sec-websocket-version': '12' }), 400)
  assert.equal(await statusOfUpgrade(url, { 'sec-websocket-key': 'short' }), 400)
  const elsewhere = new WebSocket(`${url.replace('http', 'ws')}ly`)
  const [error] = await once(elsewhere, 'error')
  assert.match(String(error), /socket hang up/)
  assert.equal(bridge.counters.accepted, 0)
})

test('pages of other sites may not connect', async () => {
  await using scene = await openScene()
  const { url } = await scene.open()
  const { host } = new URL(url)
  for (const origin of ['https://evil.example', 'null', `https://${host}.evil.example`, 'nonsense']) {
    assert.equal((await refusalOf(url, { origin })).status, 403, origin)
    assert.deepEqual(await post(url, JSON.stringify(hello(['/people'])), { origin }), [403, 'access-denied'])
  }
  await using own = await connectSocket(url, undefined, { headers: { origin: `https://${host}` } })
  own.send(hello(['/people'], '', { from: 'now' }))
  await own.type('live')
  const listed = await scene.open({ origins: ['https://app.example'] })
  assert.equal((await refusalOf(listed.url, { origin: `http://${new URL(listed.url).host}` })).status, 403)
  const preflight = await fetch(listed.url, { method: 'OPTIONS', headers: { origin: 'https://app.example' } })
  assert.deepEqual(
    [preflight.status, preflight.headers.get('access-control-allow-origin'), preflight.headers.get('vary')],
    [204, 'https://app.example', 'Origin'],
  )
})

test('connections have limits, in all and for each address, and storms a rate', async () => {
  await using scene = await openScene()
  const { url, bridge } = await scene.open({ limits: { maxConnections: 3, maxConnectionsPerAddress: 2 } })
  const one = await connectSocket(url)
  await using _two = await connectSocket(url)
  const refused = await refusalOf(url)
  assert.deepEqual([refused.status, Number(refused.retryAfter) >= 0], [503, true])
  await one.close()
  await using three = await connectSocket(url, hello(['/people'], '', { from: 'now' }))
  await three.type('live')
  assert.deepEqual(bridge.counters.refused, { overloaded: 1 })
  const slow = await scene.open({ limits: { maxArrivalsPerSecond: 5 } })
  const arrivals = await Promise.allSettled(Array.from({ length: 40 }, () => connectSocket(slow.url)))
  const taken = arrivals.filter(({ status }) => status === 'fulfilled').length
  assert.ok(taken >= 5 && taken < 20, `${taken} of 40 were taken`)
})

test('who goes while it is found out who it is takes nobody’s place', async () => {
  await using scene = await openScene()
  let isHanging = true
  let asked = 0
  const { url, bridge } = await scene.open({
    limits: { maxConnections: 3 },
    audience: () => {
      asked++
      return isHanging ? new Promise<string>(() => {}) : 'ann'
    },
  })
  const leaving = new AbortController()
  const body = JSON.stringify(hello(['/people'], '', { from: 'now' }))
  const headers = { 'content-type': 'application/json' }
  const requests = [1, 2, 3].map(() =>
    fetch(url, { method: 'POST', headers, body, signal: leaving.signal }).catch(() => {}),
  )
  await eventually(() => asked === 3)
  const full = await fetch(url, { method: 'POST', headers, body })
  assert.equal(full.status, 503)
  leaving.abort()
  await Promise.all(requests)
  isHanging = false
  await eventually(() => bridge.counters.refused['closed'] === 3)
  await using page = await connectSocket(url, hello(['/people'], '', { from: 'now' }))
  await page.type('live')
})

test('a page that says nothing, says too much or falls silent is given up', async () => {
  await using scene = await openScene()
  const clock = createFastClock(50)
  const { url } = await scene.open({ clock, pingEveryMs: 5_000, deadAfterMs: 12_000 })
  await using mute = await connectSocket(url)
  assert.deepEqual(await mute.ended, { status: 4010, code: 'timeout' })
  await using silent = await connectSocket(url, hello(['/people'], '', { from: 'now' }), { pongs: false })
  await silent.type('ping')
  assert.deepEqual(await silent.ended, { status: 4010, code: 'timeout' })
  await using answering = await connectSocket(url, hello(['/people'], '', { from: 'now' }))
  await answering.type('live')
  for (let pings = 0, from = 0; pings < 4; pings++) {
    from = answering.frames.indexOf(await answering.type('ping', from)) + 1
  }
  await using loud = await connectSocket(url)
  for (let frame = 0; frame < 500; frame++) loud.send({ type: 'pong' })
  assert.deepEqual(await loud.ended, { status: 4000, code: 'invalid-frame' })
  assert.equal(answering.socket?.readyState, WebSocket.OPEN)
})

test('a quiet page is told from time to time how far its stream is', async () => {
  await using scene = await openScene()
  const { url } = await scene.open({ clock: createFastClock(50), pingEveryMs: 5_000, deadAfterMs: 12_000 })
  await using page = await connectSocket(url, hello(['/people/nobody'], '', { from: 'now' }))
  await using events = await connectEvents(url, hello(['/people/nobody'], '', { from: 'now' }))
  await page.type('live')
  await scene.write('ann', 'bob')
  for (const { find } of [page, events]) {
    const bookmark = await find(frame => frame.type === 'interval' && frame['to'] === 2)
    assert.deepEqual([bookmark['after'], bookmark['messages']], [0, []])
  }
})
