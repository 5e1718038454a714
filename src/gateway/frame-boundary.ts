/**
 * Follows the frames of a WebSocket (RFC 6455 §5.2) in bytes that pass, to know where one ends: only there may another frame be put in. It reads
 * lengths and nothing else.
 */

export class FrameBoundary {
  /** Bytes of a payload that are still to come. */
  #left = 0
  /** What has come of a head that is not complete; 14 bytes at most. */
  #head: number[] = []

  /** Is the last frame complete? */
  get isBetween(): boolean {
    return this.#left === 0 && this.#head.length === 0
  }

  take(chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#left > 0) {
        const size = Math.min(this.#left, chunk.length - at)
        this.#left -= size
        at += size
        continue
      }
      this.#head.push(chunk[at++]!)
      const length = payloadLength(this.#head)
      if (length === undefined) continue
      this.#left = length
      this.#head = []
    }
  }
}

/** What follows the head; `undefined` where it is not complete. */
function payloadLength(head: readonly number[]): number | undefined {
  if (head.length < 2) return undefined
  const short = head[1]! & 127
  const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0
  const maskBytes = head[1]! & 128 ? 4 : 0
  if (head.length < 2 + lengthBytes + maskBytes) return undefined
  if (lengthBytes === 0) return short
  return head.slice(2, 2 + lengthBytes).reduce((sum, byte) => sum * 256 + byte, 0)
}
