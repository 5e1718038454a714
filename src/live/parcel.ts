/**
 * What is sent to many pages at once: frames as texts, made into bytes once for each transport. PROTOCOL.md §9.3.
 */
import { encodeTexts } from './websocket-frame.ts'

/** How frames are written: as WebSocket frames, or as events of a response that stays open. */
export type Form = 'websocket' | 'events'

/** Frames in order. The bytes are made at first use and are the same memory for whoever gets them. */
export class Parcel {
  readonly #frames: readonly string[]
  /** How many messages are in it, for the counters. */
  readonly messages: number
  #websocket: Buffer | undefined
  #events: Buffer | undefined

  constructor(frames: readonly string[], messages = 0) {
    this.#frames = frames
    this.messages = messages
  }

  bytes(form: Form): Buffer {
    if (form === 'websocket') {
      this.#websocket ??= encodeTexts(this.#frames)
      return this.#websocket
    }
    this.#events ??= Buffer.from(this.#frames.map(frame => `data: ${frame}\n\n`).join(''))
    return this.#events
  }
}
