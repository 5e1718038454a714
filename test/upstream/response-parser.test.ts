/** Responses as bytes: what is read of them, and that whatever could be read in two ways is refused, however the bytes are cut. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { isLockstepError } from 'lockstep/contract'
import { type ResponseHead, ResponseParser } from '../../src/upstream/response-parser.ts'

interface Read {
  readonly head: ResponseHead | undefined
  readonly body: string
  readonly isWhole: boolean
  readonly isReusable: boolean
}

/** Feeds the parts, then the end of the connection. Throws what the parser throws. */
function read(parts: readonly Buffer[], { method = 'GET', ends = true } = {}): Read {
  const parser = new ResponseParser()
  let head: ResponseHead | undefined
  let body = ''
  let isWhole = false
  parser.begin(method, {
    onHead: each => {
      head = each
    },
    onBody: part => {
      body += part.toString('latin1')
    },
    onEnd: () => {
      isWhole = true
    },
    onUpgrade: () => assert.fail('nobody asked for an upgrade'),
  })
  for (const part of parts) parser.feed(part)
  const { isReusable } = parser
  if (ends && !isWhole) parser.end()
  return { head, body, isWhole, isReusable }
}

function readText(text: string, options = {}): Read {
  return read([Buffer.from(text, 'latin1')], options)
}

function isRefused(text: string, options = {}): boolean {
  try {
    readText(text, options)
    return false
  } catch (error) {
    assert.ok(isLockstepError(error, 'api-refused'), String(error))
    return true
  }
}

test('a body ends as its head says: by length, by chunks, with the connection, or not at all', () => {
  const byLength = readText('HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A:\t b \r\n\r\nhello')
  assert.deepEqual(byLength.head?.fields, ['Content-Length', '5', 'X-A', 'b'])
  assert.deepEqual([byLength.body, byLength.isReusable, byLength.head?.length], ['hello', true, 5])
  const chunked =
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a="b;"\r\nhello\r\n1\r\n!\r\n000\r\nTrailer: x\r\n\r\n'
  assert.deepEqual([readText(chunked).body, readText(chunked).isReusable], ['hello!', true])
  const untilClose = readText('HTTP/1.1 200 OK\r\n\r\nall of it')
  assert.deepEqual([untilClose.body, untilClose.isWhole, untilClose.isReusable], ['all of it', true, false])
  for (const status of [204, 304]) {
    const empty = readText(`HTTP/1.1 ${status} X\r\nContent-Length: 0\r\n\r\n`)
    assert.deepEqual([empty.body, empty.isReusable], ['', true])
  }
  const head = readText('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', { method: 'HEAD' })
  assert.deepEqual([head.body, head.head?.length, head.isReusable], ['', 5, true])
  const early = 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na'
  assert.deepEqual([readText(early).head?.status, readText(early).body], [200, 'a'])
  assert.equal(
    readText('HTTP/1.1 200 OK\r\nConnection: x, close\r\nContent-Length: 0\r\n\r\n').isReusable,
    false,
  )
  assert.equal(
    readText('HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n').isReusable,
    false,
  )
  assert.equal(
    readText('HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=9\r\nContent-Length: 0\r\n\r\n').head
      ?.keepSeconds,
    5,
  )
})

test('what two programs could read differently is refused', () => {
  const ok = 'HTTP/1.1 200 OK\r\n'
  const refused = {
    'length twice': `${ok}Content-Length: 1\r\nContent-Length: 1\r\n\r\na`,
    'lengths in one field': `${ok}Content-Length: 1, 1\r\n\r\na`,
    'length and chunks': `${ok}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'chunks and length': `${ok}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
    'signed length': `${ok}Content-Length: +1\r\n\r\na`,
    'hexadecimal length': `${ok}Content-Length: 0x1\r\n\r\na`,
    'empty length': `${ok}Content-Length:\r\n\r\n`,
    'huge length': `${ok}Content-Length: 99999999999999999999\r\n\r\n`,
    'chunked twice': `${ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'another encoding': `${ok}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
    'an unknown encoding': `${ok}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`,
    'chunks in HTTP/1.0': 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'a 204 in chunks': 'HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'a folded line': `${ok}A: b\r\n c\r\nContent-Length: 0\r\n\r\n`,
    'a folded name': `${ok}A\r\n : b\r\nContent-Length: 0\r\n\r\n`,
    'a space before the colon': `${ok}Content-Length : 0\r\n\r\n`,
    'a bare LF': `${ok}A: b\nContent-Length: 0\r\n\r\n`,
    'a bare CR': `${ok}A: b\rContent-Length: 0\r\n\r\n`,
    'a NUL': `${ok}A: b\0\r\nContent-Length: 0\r\n\r\n`,
    'an empty name': `${ok}: b\r\nContent-Length: 0\r\n\r\n`,
    'no colon': `${ok}A\r\nContent-Length: 0\r\n\r\n`,
    'an empty line first': `\r\n${ok}Content-Length: 0\r\n\r\n`,
    'HTTP/2': 'HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n',
    'a chunk without an end': `${ok}Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n`,
    'a chunk line with a bare LF': `${ok}Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n`,
    'a chunk with a bare LF behind it': `${ok}Transfer-Encoding: chunked\r\n\r\n1\r\na\n0\r\n\r\n`,
    'a chunk with a sign': `${ok}Transfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n`,
    'a chunk with 0x': `${ok}Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n`,
    'a trailer that is no field': `${ok}Transfer-Encoding: chunked\r\n\r\n0\r\nx\r\n\r\n`,
    'an upgrade that nobody asked for': 'HTTP/1.1 101 X\r\n\r\n',
    'a body that is too short': `${ok}Content-Length: 5\r\n\r\nabc`,
    'chunks that do not end': `${ok}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n`,
    'a second response': `${ok}Content-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n`,
    'no response': '',
    'a head without an end': `${ok}A: b\r\n`,
    'endless hints': 'HTTP/1.1 103 X\r\n\r\n'.repeat(11),
    'too many fields': `${ok}${'A: b\r\n'.repeat(201)}\r\n`,
    'a head that is too large': `${ok}A: ${'x'.repeat(40_000)}\r\n\r\n`,
    'a head that never ends': `${ok}A: ${'x'.repeat(40_000)}`,
    'a chunk line that is too long': `${ok}Transfer-Encoding: chunked\r\n\r\n1;${'x'.repeat(2_000)}`,
    'trailers that are too many': `${ok}Transfer-Encoding: chunked\r\n\r\n0\r\n${`A: ${'b'.repeat(900)}\r\n`.repeat(20)}\r\n`,
  }
  const taken = Object.entries(refused).flatMap(([name, text]) => (isRefused(text) ? [] : [name]))
  assert.deepEqual(taken, [])
})

test('the cases of llhttp: what it refuses is refused, and what is refused besides is listed here', () => {
  const file = new URL('./vectors/llhttp-responses.json', import.meta.url)
  const { cases } = JSON.parse(readFileSync(file, 'utf8')) as {
    cases: { name: string; bytes: string; taken: boolean }[]
  }
  assert.ok(cases.length > 50)
  const stricter: string[] = []
  const laxer: string[] = []
  for (const { name, bytes, taken } of cases) {
    const refused = isRefused(bytes)
    if (taken && refused) stricter.push(name)
    if (!taken && !refused) laxer.push(name)
  }
  assert.deepEqual(laxer, [])
  // Cut off in the cases themselves, other protocols, codings that nobody asked for, and what comes behind a response.
  assert.deepEqual(stricter, [
    'content-length: Content-Length reset when no body is received',
    'content-length: Tabs in `Content-Length` (surrounding)',
    'transfer-encoding: `chunked` before other transfer-encoding',
    'transfer-encoding: multiple transfer-encoding where chunked is not the last one',
    'transfer-encoding: `chunkedchunked` transfer-encoding does not enable chunked enconding',
    'transfer-encoding: Chunk extensions quoting',
    'connection: HTTP/1.0 with keep-alive and 204 status',
    'connection: HTTP/1.1 with 204 status',
    'connection: HTTP 304 with Content-Length',
    'connection: HTTP 304 with Transfer-Encoding',
    'connection: HTTP 100 first, then 400',
    'connection: HTTP 103 first, then 200',
    'sample: RTSP response',
    'sample: ICE response',
    'sample: Google 301',
    'sample: HTTP version 0.9',
    'sample: Response starting with CRLF',
    'pipelining: Should parse multiple events',
  ])
})

test('it makes no difference how the bytes are cut', () => {
  const texts = [
    'HTTP/1.1 200 OK\r\nContent-Length: 12\r\nA: b\r\n\r\nhello, world',
    'HTTP/1.1 103 X\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n7\r\n, world\r\n0\r\nX: y\r\n\r\n',
    'HTTP/1.1 200 OK\r\n\r\nhello, world',
  ]
  fc.assert(
    fc.property(fc.constantFrom(...texts), fc.array(fc.nat(160), { maxLength: 12 }), (text, cuts) => {
      const bytes = Buffer.from(text, 'latin1')
      const places = [0, ...cuts.filter(cut => cut < bytes.length).sort((a, b) => a - b), bytes.length]
      const parts = places.slice(1).map((end, index) => bytes.subarray(places[index], end))
      assert.deepEqual(read(parts), readText(text))
    }),
    { numRuns: 500 },
  )
})

test('any bytes end in a response or in an error with a code, and damage never makes a body longer than its length', () => {
  const base = Buffer.from(
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Foo: chunked\r\n\r\nhello',
    'latin1',
  )
  const damage = fc.array(
    fc.tuple(fc.nat(base.length - 1), fc.constantFrom(0, 9, 10, 13, 32, 44, 48, 58, 59, 97, 255)),
    { maxLength: 4 },
  )
  fc.assert(
    fc.property(damage, fc.nat(base.length), (changes, cut) => {
      const bytes = Buffer.from(base)
      for (const [at, value] of changes) bytes[at] = value
      try {
        const { head, body } = read([bytes.subarray(0, cut), bytes.subarray(cut)])
        if (head?.length !== undefined)
          assert.ok(body.length === head.length || head.status === 204 || head.status === 304)
      } catch (error) {
        if (!isLockstepError(error, 'api-refused')) throw error
      }
    }),
    { numRuns: 2_000 },
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
      try {
        read([Buffer.from(bytes)])
      } catch (error) {
        if (!isLockstepError(error, 'api-refused')) throw error
      }
    }),
  )
})
