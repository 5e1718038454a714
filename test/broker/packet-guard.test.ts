import assert from 'node:assert/strict'
import { Duplex } from 'node:stream'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { createPacketGuard, guardReads } from '../../src/broker/packet-guard.ts'
import { packet } from './raw-client.ts'

/** A packet whose whole size is as given, where MQTT has one of that size. */
function packetOf(size: number): Buffer {
  for (const header of [2, 3, 4, 5]) {
    const bytes = packet(0x30, [Buffer.alloc(Math.max(0, size - header))])
    if (bytes.length === size) return bytes
  }
  throw new Error(`no packet has ${size} bytes`)
}

function chunks(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map(cut => cut % (bytes.length + 1)))].sort((one, other) => one - other)
  return [...places, bytes.length].map((place, index) => bytes.subarray(places[index - 1] ?? 0, place))
}

describe('packet guard', () => {
  it('lets packets up to the limit pass, however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.integer({ min: 2, max: 400 }).filter(size => size !== 130),
          { maxLength: 20 },
        ),
        fc.array(fc.nat(), { maxLength: 30 }),
        (sizes, cuts) => {
          const guard = createPacketGuard(400)
          for (const chunk of chunks(Buffer.concat(sizes.map(packetOf)), cuts)) assert.ok(guard.accept(chunk))
        },
      ),
    )
  })

  it('refuses at the header of the first packet over the limit, and ever after', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 2, max: 129 }), { maxLength: 10 }),
        fc.integer({ min: 201, max: 300_000 }),
        (sizes, large) => {
          const guard = createPacketGuard(200)
          for (const size of sizes) assert.ok(guard.accept(packetOf(size)))
          const header = packet(0x30, [Buffer.alloc(large)]).subarray(0, 5)
          const verdicts = [...header].map(byte => guard.accept(Buffer.from([byte])))
          assert.ok(verdicts.includes(false))
          assert.equal(guard.accept(packetOf(2)), false)
        },
      ),
    )
  })

  it('refuses a length that never ends', () => {
    const guard = createPacketGuard(Number.POSITIVE_INFINITY)
    assert.equal(guard.accept(Buffer.from([0x30, 0x80, 0x80, 0x80])), true)
    assert.equal(guard.accept(Buffer.from([0x80])), false)
  })

  it('takes the largest packet that MQTT knows, where the limit lets it', () => {
    const guard = createPacketGuard(268_435_460)
    assert.equal(guard.accept(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f])), true)
  })

  it('destroys a stream at the refusal and hands on nothing of that chunk', () => {
    const stream = new Duplex({ read() {} })
    let refusals = 0
    guardReads(stream, 100, () => refusals++)
    stream.push(packetOf(100))
    assert.equal(stream.read()?.length, 100)
    stream.push(packetOf(101))
    assert.equal(stream.read(), null)
    assert.equal(refusals, 1)
    assert.equal(stream.destroyed, true)
  })
})
