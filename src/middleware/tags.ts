/**
 * The ETags of what the application answers. A body gets the tag of a version where it is the state of that version, compared as JSON;
 * any other body gets none. PROTOCOL.md §4.4.
 */
import { formatResourceTag, isEqualJson, type Json } from '../contract/index.ts'
import { type Mirrored, readState, type Shadow, toMirrored, valuesOf } from '../sidecar/observing.ts'
import { readObject } from './meeting.ts'

interface Known {
  readonly body: string | Uint8Array
  readonly tag: string
  /** Of the stream, when it was found out: later the resource may have another version. */
  readonly seq: number
  readonly epoch: string
}

const maxKnown = 1_000
/** Larger bodies are compared each time. */
const maxKnownBytes = 16_384

export class Tags {
  readonly #shadow: Shadow
  readonly #known = new Map<string, Known>()

  constructor(shadow: Shadow) {
    this.#shadow = shadow
  }

  /** The tag of a body that was sent before, while nothing has changed in the stream. */
  recall(path: string, body: string | Uint8Array): string | undefined {
    const known = this.#known.get(path)
    if (known === undefined) return undefined
    const { seq, epoch } = this.#shadow.head(path)
    return known.seq === seq && known.epoch === epoch && isSame(known.body, body) ? known.tag : undefined
  }

  /** Compares a body with what was recorded; `undefined` where it is something else. */
  async find(mirrored: Mirrored, path: string, body: string | Uint8Array): Promise<string | undefined> {
    const json = readObject(body)
    const given = json && readState(mirrored, json)
    if (given === undefined) return undefined
    const { head, resource } = await this.#shadow.log.readResource(path)
    if (resource.stateText === undefined) return undefined
    const state = toMirrored(mirrored, valuesOf(mirrored, path)['id']!, given)
    if (!isEqualJson(state, JSON.parse(resource.stateText) as Json)) return undefined
    const tag = formatResourceTag(head.epoch, resource.version)
    this.#remember(path, { body, tag, seq: head.seq, epoch: head.epoch })
    return tag
  }

  #remember(path: string, known: Known): void {
    if (known.body.length > maxKnownBytes) return
    this.#known.delete(path)
    this.#known.set(path, known)
    if (this.#known.size > maxKnown) this.#known.delete(this.#known.keys().next().value!)
  }
}

function isSame(a: string | Uint8Array, b: string | Uint8Array): boolean {
  if (typeof a === 'string' || typeof b === 'string') return a === b
  return Buffer.compare(a, b) === 0
}

/** A strong tag is one that the application itself compares. A weak one is made by frameworks, of any body. */
export function hasOwnTag(tag: string | undefined): boolean {
  return tag?.startsWith('"') === true
}
