/**
 * Keeps packets over a limit away from a parser that would collect them whole.
 *
 * The size of an MQTT packet stands in its fixed header (MQTT 3.1.1 §2.2.3), so that one too large is refused
 * before its body has arrived. Nothing but the sizes is looked at.
 */
import type { Duplex } from 'node:stream'

export interface PacketGuard {
  /** Follows the bytes. `false` once a packet is over the limit or its length is malformed, and ever after. */
  accept(chunk: Uint8Array): boolean
}

export function createPacketGuard(maxPacketBytes: number): PacketGuard {
  /** Bytes of the current body that are still to come. */
  let body = 0
  /** Bytes read of the current fixed header; 0 before its first byte. */
  let header = 0
  let length = 0
  let refused = false

  return {
    accept(chunk) {
      let index = 0
      while (!refused && index < chunk.length) {
        if (body > 0) {
          const step = Math.min(body, chunk.length - index)
          body -= step
          index += step
          continue
        }
        const byte = chunk[index++]!
        if (header === 0) {
          header = 1
          length = 0
          continue
        }
        length += (byte & 0x7f) * 128 ** (header - 1)
        header++
        const more = byte >= 0x80
        refused = length + header > maxPacketBytes || (more && header > 4)
        if (more) continue
        body = length
        header = 0
      }
      return !refused
    },
  }
}

/**
 * Puts a guard before whoever calls `read` on the stream, and destroys the stream where it refuses.
 * It stands in the stream's own method: one more stream in between would cost each delivery.
 */
export function guardReads(stream: Duplex, maxPacketBytes: number, onRefused: () => void): void {
  const guard = createPacketGuard(maxPacketBytes)
  const read = stream.read.bind(stream)
  stream.read = size => {
    const chunk: Buffer | null = read(size)
    if (chunk === null || guard.accept(chunk)) return chunk
    onRefused()
    stream.destroy()
    return null
  }
}
