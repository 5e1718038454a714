import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { isLockstepError } from '../../src/contract/index.ts'
import {
  acceptKey,
  encodeClose,
  encodePong,
  encodeTexts,
  FrameReader,
  type PageMessage,
} from '../../src/live/websocket-frame.ts'

interface Sent {
  readonly opcode: number
  readonly payload: Buffer
  readonly isFinal: boolean
}

/** A frame as a browser sends it (RFC 6455 §5.2), with a mask. */
function mask({ opcode, payload, isFinal }: Sent, key = [1, 2, 3, 4]): Buffer {
  const { length } = payload
  const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10)
  head[0] = (isFinal ? 0x80 : 0) | opcode
  head[1] = 0x80 | (length < 126 ? length : length < 65_536 ? 126 : 127)
  if (head.length === 4) head.writeUInt16BE(length, 2)
  if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([head, Buffer.from(key), payload.map((byte, index) => byte ^ key[index & 3]!)])
}

const text = (content: string, opcode = 1, isFinal = true): Sent => ({
  opcode,
  payload: Buffer.from(content),
  isFinal,
})

function readAll(chunks: readonly Buffer[], maxBytes = 100_000): readonly PageMessage[] {
  const reader = new FrameReader()
  return chunks.flatMap(chunk => reader.read(chunk, maxBytes))
}

/** Cuts bytes at the given places. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...new Set(places.map(place => place % (bytes.length + 1)))].sort((a, b) => a - b)
  return [...ends, bytes.length].map((end, index) => bytes.subarray(index === 0 ? 0 : ends[index - 1]!, end))
}

test('texts come out as they were sent, in parts, between pings, and however the network cuts them', () => {
  const part = fc.string({ unit: 'binary', maxLength: 300 })
  const message = fc.record({
    parts: fc.array(part, { minLength: 1, maxLength: 3 }),
    ping: fc.option(fc.uint8Array({ maxLength: 125 })),
  })
  fc.assert(
    fc.property(
      fc.array(message, { maxLength: 5 }),
      fc.array(fc.nat(), { maxLength: 10 }),
      (messages, places) => {
        const sent: Sent[] = []
        const expected: (readonly [string, string])[] = []
        for (const { parts, ping } of messages) {
          for (const [index, content] of parts.entries()) {
            sent.push(text(content, index === 0 ? 1 : 0, index === parts.length - 1))
            if (ping === null || index > 0) continue
            sent.push({ opcode: 9, payload: Buffer.from(ping), isFinal: true })
            if (parts.length > 1) expected.push(['ping', Buffer.from(ping).toString('hex')])
          }
          // Parts are whole characters each, but lone surrogates become replacement characters on the way.
          expected.push(['text', Buffer.concat(parts.map(content => Buffer.from(content))).toString('hex')])
          if (ping !== null && parts.length === 1) expected.push(['ping', Buffer.from(ping).toString('hex')])
        }
        const bytes = Buffer.concat(sent.map(frame => mask(frame)))
        const got = readAll(cut(bytes, places)).map(({ kind, payload }) => [kind, payload.toString('hex')])
        assert.deepEqual(got, expected)
      },
    ),
  )
})

test('long texts have longer headers, both ways', () => {
  for (const length of [0, 125, 126, 65_535, 65_536, 90_000]) {
    const content = 'x'.repeat(length)
    assert.equal(readAll([mask(text(content))])[0]!.payload.toString(), content)
    const bytes = encodeTexts([content, 'é'])
    const head = length < 126 ? 2 : length < 65_536 ? 4 : 10
    assert.equal(bytes.length, head + length + 4)
    assert.equal(bytes.subarray(-4).toString('latin1'), '\x81\x02Ã©')
  }
})

test('what is no frame for a server, or too much, is refused', () => {
  const ping = (length: number): Sent => ({ opcode: 9, payload: Buffer.alloc(length), isFinal: true })
  const unmasked = Buffer.from('\x81\x01x', 'latin1')
  const reserved = mask(text('x'))
  reserved[0]! |= 0x40
  const cases: readonly (readonly [what: string, bytes: Buffer, code: string])[] = [
    ['without a mask', unmasked, 'invalid-frame'],
    ['with a reserved bit', reserved, 'invalid-frame'],
    ['binary', mask(text('x', 2)), 'invalid-frame'],
    ['of an unknown opcode', mask(text('x', 3)), 'invalid-frame'],
    ['of an unknown control opcode', mask(text('x', 11)), 'invalid-frame'],
    ['a ping in parts', mask({ ...ping(1), isFinal: false }), 'invalid-frame'],
    ['a long ping', mask(ping(126)), 'invalid-frame'],
    ['a continuation of nothing', mask(text('x', 0)), 'invalid-frame'],
    ['a text inside a text', Buffer.concat([mask(text('x', 1, false)), mask(text('y'))]), 'invalid-frame'],
    ['no UTF-8', mask({ opcode: 1, payload: Buffer.from([0xc3, 0x28]), isFinal: true }), 'invalid-frame'],
    ['over the limit', mask(text('x'.repeat(1_001))), 'message-too-large'],
    [
      'over the limit by its header alone',
      mask(text('x'.repeat(70_000))).subarray(0, 10),
      'message-too-large',
    ],
    [
      'over the limit in parts',
      Buffer.concat([mask(text('x'.repeat(900), 1, false)), mask(text('x'.repeat(900), 0))]),
      'message-too-large',
    ],
    [
      'in too many parts',
      Buffer.concat([
        mask(text('', 1, false)),
        ...Array.from({ length: 70 }, () => mask(text('', 0, false))),
      ]),
      'invalid-frame',
    ],
  ]
  for (const [what, bytes, code] of cases) {
    assert.throws(
      () => readAll([bytes], 1_000),
      error => isLockstepError(error) && error.code === code,
      what,
    )
  }
})

test('random bytes give messages or a refusal with a code, and nothing else', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 })), chunks => {
      try {
        readAll(
          chunks.map(chunk => Buffer.from(chunk)),
          1_000,
        )
      } catch (error) {
        assert.ok(isLockstepError(error))
      }
    }),
  )
})

test('close, pong and the accept key are those of RFC 6455', () => {
  assert.equal(encodeClose(4008, 'too-slow').toString('latin1'), '\x88\x0a\x0f\xa8too-slow')
  assert.equal(encodePong(Buffer.from('hi')).toString('latin1'), '\x8a\x02hi')
  assert.equal(acceptKey('dGhlIHNhbXBsZSBub25jZQ=='), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
})
