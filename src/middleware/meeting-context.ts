/** What all meetings share: the parts that observe, where paths lead, and what answers say of them. */
import { randomBytes } from 'node:crypto'
import { formatMarker, type Head, pathToTopic, type ReportError, streamOf } from '../contract/index.ts'
import type { Doubts, IntentJournal, Observer, Shadow, Target, TargetTable } from '../sidecar/observing.ts'
import { Tags } from './tags.ts'

export interface MeetingContextOptions {
  readonly table: TargetTable
  readonly journal: IntentJournal
  readonly doubts: Doubts
  readonly observer: Observer
  readonly shadow: Shadow
  /** The templates whose writes are answered with the whole representation. */
  readonly whole: ReadonlySet<string>
  readonly root: string
  readonly topicPrefix: string
  readonly maxWaitMs: number
  /** Does another process write the same resources? */
  readonly isShared: boolean
  /** Do answers to reads say anything? */
  readonly meetsReads: boolean
  readonly report: ReportError
}

const maxPlaces = 10_000
const idForm = /^[\x21-\x7e]{1,128}$/

/** Where a path leads, and what answers about it say of that. */
export interface Place {
  readonly target: Target
  readonly link: string
  readonly topic: string
}

export class MeetingContext {
  readonly options: MeetingContextOptions
  readonly tags: Tags
  readonly #places = new Map<string, Place | undefined>()
  readonly #markers = new Map<string, { readonly head: Head; readonly text: string }>()
  readonly #idPrefix = randomBytes(6).toString('base64url')
  #lastId = 0

  constructor(options: MeetingContextOptions) {
    this.options = options
    this.tags = new Tags(options.shadow)
  }

  /** Where a raw path leads. The same paths are asked for again and again. */
  find(path: string): Place | undefined {
    const known = this.#places.get(path)
    if (known !== undefined || this.#places.has(path)) return known
    const { table, root, topicPrefix } = this.options
    const target = table.find(path)
    const place = target && {
      target,
      link: `<${root}/${streamOf(target.path)}/_changes>; rel="changes"`,
      topic: pathToTopic(target.path, topicPrefix),
    }
    if (this.#places.size >= maxPlaces) this.#places.clear()
    this.#places.set(path, place)
    return place
  }

  /** What answers about a path carry. The marker is read now, before the handler reads anything. */
  fieldsOf({ target, link, topic }: Place): Record<string, string> {
    return {
      link,
      'lockstep-topic': topic,
      'lockstep-marker': this.#markerOf(this.options.shadow.head(target.path)),
    }
  }

  #markerOf(head: Head): string {
    const known = this.#markers.get(head.stream)
    if (known?.head === head) return known.text
    const { stream, epoch, seq } = head
    const text = formatMarker([{ stream, epoch, seq }])
    this.#markers.set(stream, { head, text })
    return text
  }

  markerOf(paths: readonly string[]): string {
    const streams = [...new Set(paths.map(streamOf))].sort()
    return streams.map(stream => this.#markerOf(this.options.shadow.head(`/${stream}`))).join(',')
  }

  makeCause(given: string | undefined): string {
    if (given !== undefined && idForm.test(given)) return given
    this.#lastId++
    return `${this.#idPrefix}-${this.#lastId.toString(36)}`
  }
}
