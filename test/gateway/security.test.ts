/** What a client could try at the front door: each line of it is refused, or does not reach a service. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { test } from 'node:test'
import type { GatewayLogEntry } from 'lockstep/gateway'
import { normalizePath } from '../../src/gateway/request-target.ts'
import { exchangeBytes, openRawService, openTestGateway, openTestService } from './stage.ts'

const host = 'Host: example.com\r\n'

test('a client cannot say how it was forwarded, who it is, or that another method or path is meant', async t => {
  const service = await openTestService(t)
  const gateway = await openTestGateway(t, { services: { people: { instances: [service.url] } } })
  const names = [
    ...[
      'Forwarded',
      'X-Forwarded-For',
      'X-Forwarded-Proto',
      'X-Forwarded-Host',
      'X-Forwarded-Prefix',
      'X-Forwarded-User',
    ],
    ...[
      'X-Real-IP',
      'True-Client-IP',
      'X-Client-IP',
      'X-Original-URL',
      'X-Rewrite-URL',
      'X-HTTP-Method-Override',
    ],
    ...[
      'X-HTTP-Method',
      'X-Method-Override',
      'Lockstep-Audience',
      'Lockstep-Marker',
      'Remote-User',
      'Proxy-Authorization',
    ],
    ...['Proxy-Connection', 'Keep-Alive', 'TE', 'Trailer', 'Upgrade', 'HTTP2-Settings', 'Expect-Not'],
  ]
  const twins = names.map(name => name.replaceAll('-', '_'))
  const fields = [...names, ...twins].map(name => `${name}: evil\r\n`).join('')
  const text = await exchangeBytes(
    gateway.urls['internal']!,
    `GET /api/v1/people HTTP/1.1\r\n${host}${fields}X-Harmless: yes\r\nConnection: close, x-own\r\nX-Own: 1\r\n\r\n`,
  )
  assert.match(text, /^HTTP\/1\.1 200/)
  const { headers } = JSON.parse(text.slice(text.indexOf('{')))
  const evil = Object.entries(headers).flatMap(([name, value]) => (/evil/.test(String(value)) ? [name] : []))
  assert.deepEqual(evil, ['expect-not'])
  assert.equal(headers['x-harmless'], 'yes')
  assert.equal(headers['x-own'], undefined)
  assert.equal(headers['x-forwarded-for'], '127.0.0.1')
  assert.equal(headers['x-forwarded-host'], 'example.com')
  assert.equal(headers['forwarded'], 'for=127.0.0.1;host="example.com";proto=http')
  assert.equal(headers['connection'], undefined)
})

test('the address of the client is that which the configured number of our own proxies saw', async t => {
  const service = await openTestService(t)
  const seen = async (trustedHops: number, forwardedFor: string): Promise<unknown> => {
    const gateway = await openTestGateway(t, {
      trustedHops,
      services: { people: { instances: [service.url] } },
    })
    const headers = { 'x-forwarded-for': forwardedFor, 'x-forwarded-proto': 'https' }
    const response = await fetch(`${gateway.urls['internal']}/api/v1/people`, { headers })
    const told = ((await response.json()) as { headers: Record<string, string> }).headers
    return [told['x-forwarded-for'], told['x-forwarded-proto']]
  }
  assert.deepEqual(await seen(0, '9.9.9.9'), ['127.0.0.1', 'http'])
  assert.deepEqual(await seen(1, '9.9.9.9, 10.0.0.1'), ['10.0.0.1', 'https'])
  assert.deepEqual(await seen(2, '9.9.9.9, 10.0.0.1, ::ffff:10.0.0.2'), ['10.0.0.1', 'https'])
  assert.deepEqual(await seen(1, '9.9.9.9, not-an-address'), ['127.0.0.1', 'https'])
})

test('Connection may not name what is set by us, or what decides who the client is', async t => {
  const service = await openTestService(t)
  const gateway = await openTestGateway(t, { services: { people: { instances: [service.url] } } })
  for (const name of [
    'X-Forwarded-For',
    'Lockstep-Audience',
    'Host',
    'Content-Length',
    'Authorization',
    'Cookie',
    'X-Request-Id',
    'If-Match',
    'x y',
  ]) {
    const text = await exchangeBytes(
      gateway.urls['internal']!,
      `GET /api/v1/people HTTP/1.1\r\n${host}Connection: close, ${name}\r\n\r\n`,
    )
    assert.match(text, /^HTTP\/1\.1 400 [\s\S]*invalid-request/, name)
  }
  assert.equal(service.requests.length, 0)
})

test('an API key in a path is refused by none of the log’s readers: it is not written there', async t => {
  const service = await openTestService(t)
  const entries: GatewayLogEntry[] = []
  const gateway = await openTestGateway(
    t,
    { services: { people: { instances: [service.url] } } },
    { onRequest: entry => entries.push(entry) },
  )
  const key = `lsk_${'a1B2-_'.repeat(9)}`
  await exchangeBytes(
    gateway.urls['internal']!,
    `GET /api/v1/people/${key}/x?key=${key} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
  )
  assert.deepEqual(
    entries.map(({ path }) => path),
    ['/api/v1/people/lsk_…/x'],
  )
})

test('a service that answers a WebSocket without end fills no memory of the gateway', async t => {
  let written = 0
  const part = Buffer.alloc(65_536)
  const url = await openRawService(t, socket => {
    socket.write('HTTP/1.1 200 OK\r\n\r\n')
    const more = (): void => {
      while (!socket.destroyed && written < 200_000_000) {
        written += part.length
        if (!socket.write(part)) {
          socket.once('drain', more)
          return
        }
      }
    }
    more()
  })
  const gateway = await openTestGateway(t, { services: { people: { instances: [url] } } })
  const { port } = new URL(gateway.urls['internal']!)
  const socket = connect(Number(port), '127.0.0.1', () => {
    socket.write(
      'GET /api/v1/people HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    )
  })
  t.after(() => socket.destroy())
  await once(socket, 'readable')
  for (let last = -1; last !== written; ) {
    last = written
    for (let index = 0; index < 20; index++) await fetch(`${gateway.urls['internal']}/nothing`)
  }
  assert.ok(written < 50_000_000, `${written} bytes were taken for a client that reads nothing`)
})

test('a path has one form, which is routed and sent on', () => {
  const same = ['/', '/a', '/a/', '/a.b/..c/...', '/a;b=c', '/%C3%A9', "/!$&'()*+,;=:@", '/100%25', '/%25a']
  for (const path of same) assert.equal(normalizePath(path), path)
  const changed = {
    '/%61': '/a',
    '/%7e': '/~',
    '/%c3%a9': '/%C3%A9',
    '/a/./b': '/a/b',
    '/a/../b': '/b',
    '/a/%2e%2E/b': '/b',
    '/a/b/..': '/a/',
    '/a/.': '/a/',
  }
  for (const [path, normal] of Object.entries(changed)) assert.equal(normalizePath(path), normal)
  const refused = [
    ...[
      '',
      'a',
      '//',
      '//a',
      '/a//b',
      '/a/..//b',
      '/..',
      '/a/../../b',
      '/%2e%2e',
      '/a/..;/b',
      '/a/%2e.;x/b',
      '/.;',
    ],
    ...[
      '/a%2Fb',
      '/a%2f',
      '/a%5Cb',
      '/a%5cb',
      '/a%00',
      '/a%0a',
      '/a%0D',
      '/a%7F',
      '/a\\b',
      '/a b',
      '/a%',
      '/a%2',
      '/a%zz',
      '/é',
      '/a"b',
      '/a#b',
      '/a\0',
    ],
    // For programs that decode twice.
    ...['/%252F', '/a%255c', '/%252e%252e', '/%2500', '/%250a', '/%257F', '/%25252e'],
  ]
  for (const path of refused) assert.throws(() => normalizePath(path), { code: 'invalid-path' }, path)
})

test('the path that is sent to the service is the one that was routed', async t => {
  const service = await openTestService(t)
  const other = await openTestService(t)
  const gateway = await openTestGateway(t, {
    services: { people: { instances: [service.url] }, secrets: { instances: [other.url] } },
  })
  const ask = (target: string): Promise<string> =>
    exchangeBytes(gateway.urls['internal']!, `GET ${target} HTTP/1.1\r\n${host}Connection: close\r\n\r\n`)
  assert.match(await ask('/api/v1/people/%6Aohn/./x?a=/../b'), /"url":"\/people\/john\/x\?a=\/\.\.\/b"/)
  assert.match(await ask('/api/v1/people/../secrets/1'), /"url":"\/secrets\/1"/)
  assert.match(await ask('http://example.com/api/v1/people'), /"url":"\/people"/)
  for (const target of [
    '/api/v1/people/..%2Fsecrets',
    '/api/v1/people/%2e%2e;/secrets',
    '/api/v1//people',
    'http://evil.example/api/v1/people',
    '/api/v1/people%00',
    '*',
    '/api/v1\\people',
  ]) {
    assert.match(await ask(target), /^HTTP\/1\.1 400 /, target)
  }
  assert.deepEqual([service.requests.length, other.requests.length], [2, 1])
})

test('a request with two hosts, none, or one that is none is refused', async t => {
  const service = await openTestService(t)
  const gateway = await openTestGateway(t, { services: { people: { instances: [service.url] } } })
  for (const hosts of [
    '',
    'Host: a\r\nHost: a\r\n',
    'Host: a\r\nhost: b\r\n',
    'Host: a b\r\n',
    'Host: a/b\r\n',
    'Host: a@b\r\n',
    'Host:\r\n',
    'Host: a"\r\n',
  ]) {
    const text = await exchangeBytes(
      gateway.urls['internal']!,
      `GET /api/v1/people HTTP/1.1\r\n${hosts}Connection: close\r\n\r\n`,
    )
    assert.match(text, /^HTTP\/1\.1 400 /, hosts)
  }
  assert.equal(service.requests.length, 0)
})

test('no bytes make a service hear of a request that the gateway did not see: llhttp’s cases and smuggling', async t => {
  const service = await openTestService(t)
  const gateway = await openTestGateway(t, { services: { all: { instances: [service.url], at: ['/'] } } })
  const file = new URL('./vectors/llhttp-requests.json', import.meta.url)
  const { cases } = JSON.parse(readFileSync(file, 'utf8')) as {
    cases: { name: string; bytes: string; taken: boolean }[]
  }
  assert.ok(cases.length > 100)
  const post = `POST /a HTTP/1.1\r\n${host}`
  const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: example.com\r\n\r\n'
  const own: [string, string][] = [
    ['CL.TE', `${post}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`],
    ['TE.CL', `${post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n${smuggled}\r\n0\r\n\r\n`],
    ['TE.TE', `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n${smuggled}`],
    ['xchunked', `${post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${smuggled}`],
    ['tab', `${post}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n${smuggled}`],
    ['space before colon', `${post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${smuggled}`],
    ['folded', `${post}X: y\r\n Transfer-Encoding: chunked\r\n\r\n${smuggled}`],
    ['bare LF', `${post}X: y\nTransfer-Encoding: chunked\r\n\r\n${smuggled}`],
    ['bare CR', `${post}X: y\rTransfer-Encoding: chunked\r\n\r\n${smuggled}`],
    ['CL twice', `${post}Content-Length: 0\r\nContent-Length: 44\r\n\r\n${smuggled}`],
    ['CL list', `${post}Content-Length: 0, 44\r\n\r\n${smuggled}`],
    ['CL sign', `${post}Content-Length: +0\r\n\r\n${smuggled}`],
    ['chunk size', `${post}Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n${smuggled}`],
    ['chunk LF', `${post}Transfer-Encoding: chunked\r\n\r\n0\n\n${smuggled}`],
    ['chunk end', `${post}Transfer-Encoding: chunked\r\n\r\n1\r\naXX0\r\n\r\n${smuggled}`],
    [
      'chunk overflow',
      `${post}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\na\r\n0\r\n\r\n${smuggled}`,
    ],
  ]
  const ask = async (bytes: string): Promise<number> => {
    const before = service.requests.length
    const text = await exchangeBytes(gateway.urls['internal']!, bytes, /^HTTP\/1\.1 [1-5]\d\d /)
    assert.match(text, /^(HTTP\/1\.1 |$)/)
    return service.requests.length - before
  }
  for (const [name, bytes] of own) {
    await ask(bytes)
    assert.equal(
      service.requests.some(({ url }) => url === '/smuggled'),
      false,
      name,
    )
  }
  const refused = cases.filter(({ taken }) => !taken)
  for (const { name, bytes } of refused) {
    const named = /\r\nhost:/i.test(bytes) ? bytes : bytes.replace('\r\n', `\r\n${host}`)
    await ask(named)
    assert.equal(
      service.requests.some(({ url }) => /evil|admin/.test(url ?? '')),
      false,
      name,
    )
  }
})
