/** What a page is told on arrival costs one write. */
import assert from 'node:assert/strict'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import { WebSocketWire } from '../../src/live/websocket.ts'

/** A socket that takes everything, and the sizes of what it is given in each write. */
function createSocket(): { readonly socket: Duplex; readonly writes: number[][] } {
  const writes: number[][] = []
  const socket = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      writes.push([chunk.length])
      done()
    },
    writev(chunks, done) {
      writes.push(chunks.map(({ chunk }) => (chunk as Buffer).length))
      done()
    },
  })
  return { socket, writes }
}

test('what is gathered goes out in one write, and does not count as what the page does not take', () => {
  const { socket, writes } = createSocket()
  const wire = new WebSocketWire(socket, 1_000)
  wire.gather(() => {
    wire.write(Buffer.alloc(10))
    wire.write(Buffer.alloc(20))
    assert.equal(wire.queuedBytes, 0)
    assert.deepEqual(writes, [])
  })
  assert.deepEqual(writes, [[10, 20]])
  assert.equal(wire.queuedBytes, 0)
})

test('much is not held back, so that a page that does not take it is noticed at once', () => {
  const { socket, writes } = createSocket()
  const wire = new WebSocketWire(socket, 1_000)
  wire.gather(() => {
    wire.write(Buffer.alloc(10))
    wire.write(Buffer.alloc(70_000))
    assert.deepEqual(writes, [[10, 70_000]])
    wire.write(Buffer.alloc(30))
  })
  assert.deepEqual(writes, [[10, 70_000], [30]])
})

test('nothing is held back for a page that is behind already, nor after a failure', () => {
  const socket = new Duplex({ read() {}, write() {} })
  const wire = new WebSocketWire(socket, 1_000)
  wire.write(Buffer.alloc(10))
  wire.gather(() => {
    wire.write(Buffer.alloc(20))
    assert.equal(wire.queuedBytes, 30)
  })
  const { socket: other, writes } = createSocket()
  const failing = new WebSocketWire(other, 1_000)
  const fail = (): void => {
    failing.write(Buffer.alloc(10))
    throw new Error('in between')
  }
  assert.throws(() => failing.gather(fail), /in between/)
  assert.deepEqual(writes, [[10]])
})
