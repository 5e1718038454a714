/**
 * What the API ever had: every version of every resource in every epoch, taken from the log at each commit. It is
 * what the followers are judged by, and it judges the log itself: no number twice, no hole, no version left out.
 */
import {
  applyMergePatch,
  isEqualJson,
  type JsonObject,
  type Message,
  parseMessage,
} from '../../src/contract/index.ts'
import type { ChangeLog } from '../../src/log/change-log.ts'

interface Entry {
  readonly seq: number
  readonly version: number
  readonly state: JsonObject | undefined
}

/** So many changes are looked at again after each commit: was one written over? */
const lookedAtAgain = 3

/** One epoch of one stream. */
interface History {
  head: number
  readonly messages: Map<number, string>
  /** By path, in order of version; the first may be what was there when the epoch began. */
  readonly resources: Map<string, Entry[]>
}

/** What is looked at of a log. */
export type JudgedLog = Pick<ChangeLog, 'head' | 'readChanges' | 'readCollection' | 'onCommit'>

export class Ledger {
  readonly violations: string[] = []
  readonly #refused: string[] = []
  changes = 0
  readonly #histories = new Map<string, History>()
  readonly #epochs = new Map<string, string>()
  #reading: Promise<void> = Promise.resolve()

  /**
   * Follows a log from now on; what it holds of an epoch that is known must be what was there before. Gives what ends it: what a process that was
   * killed does to its memory is in no log.
   */
  async attach(log: JudgedLog): Promise<() => void> {
    for (const stream of ['people', 'projects']) await this.#read(log, stream, { isWhole: true })
    return log.onCommit(heads => {
      for (const { stream } of heads) this.#reading = this.#reading.then(() => this.#read(log, stream))
    })
  }

  /** A write was answered as one that was not made: this text of it must be in no change. */
  refuse(text: string): void {
    this.#refused.push(text)
  }

  /** Is something in the log that was said not to be? */
  checkRefused(): void {
    const texts = [...this.#histories.values()].flatMap(({ messages }) => [...messages.values()]).join('\n')
    for (const text of this.#refused)
      if (texts.includes(text)) this.violations.push(`invented: ${text} was refused, and is in the log`)
  }

  epochOf(stream: string): string | undefined {
    return this.#epochs.get(stream)
  }

  headOf(stream: string): number {
    return this.#history(stream, this.#epochs.get(stream)!).head
  }

  /** Had the API this state at this version, in this or an earlier epoch? */
  knows(path: string, version: number, state: JsonObject): boolean {
    return this.statesOf(path, version).some(known => isEqualJson(known, state))
  }

  /** The states that a resource had at a version, in this or an earlier epoch. */
  statesOf(path: string, version: number): JsonObject[] {
    const stream = path.split('/', 2)[1]!
    const states: JsonObject[] = []
    for (const [key, { resources }] of this.#histories) {
      if (!key.startsWith(`${stream}:`)) continue
      const state = resources.get(path)?.find(item => item.version === version)?.state
      if (state !== undefined) states.push(state)
    }
    return states
  }

  /** Was there such a history? */
  hasEpoch(stream: string, epoch: string): boolean {
    return this.#histories.has(`${stream}:${epoch}`)
  }

  /** Was the resource deleted after that version, or changed again? */
  isLater(path: string, epoch: string, version: number): boolean {
    const entries = this.#history(path.split('/', 2)[1]!, epoch).resources.get(path)
    return (entries?.at(-1)?.version ?? 0) > version
  }

  /** What a resource was before its last change, in the present epoch. */
  before(path: string): (Entry & { readonly epoch: string }) | undefined {
    const stream = path.split('/', 2)[1]!
    const epoch = this.#epochs.get(stream)
    const entry = epoch === undefined ? undefined : this.#history(stream, epoch).resources.get(path)?.at(-2)
    return entry && { ...entry, epoch: epoch! }
  }

  /** The resources at a place in the log: their versions, and whether they were there. */
  *at(
    stream: string,
    epoch: string,
    seq: number,
  ): Generator<{ path: string; version: number; exists: boolean }> {
    for (const [path, entries] of this.#history(stream, epoch).resources) {
      const entry = entries.findLast(item => item.seq <= seq)
      if (entry !== undefined) yield { path, version: entry.version, exists: entry.state !== undefined }
    }
  }

  /** What is there now, by path. */
  now(stream: string): Map<string, { version: number; state: JsonObject }> {
    const states = new Map<string, { version: number; state: JsonObject }>()
    for (const [path, entries] of this.#history(stream, this.#epochs.get(stream)!).resources) {
      const { version, state } = entries.at(-1)!
      if (state !== undefined) states.set(path, { version, state })
    }
    return states
  }

  /** Takes what is new, and looks at the last ones again; at all that is held where `isWhole`. */
  async #read(log: JudgedLog, stream: string, { isWhole = false } = {}): Promise<void> {
    const head = await log.head(stream).catch(() => undefined)
    if (head === undefined) return
    const isNew = !this.#histories.has(`${stream}:${head.epoch}`)
    const history = this.#history(stream, head.epoch)
    this.#epochs.set(stream, head.epoch)
    if (isNew) await this.#takeBase(log, stream, history)
    const after = Math.max(head.first - 1, isWhole ? 0 : history.head - lookedAtAgain)
    const page = await log.readChanges(stream, { after, limit: 100_000 })
    for (const { seq, messageText } of page.changes) {
      const known = history.messages.get(seq)
      if (known !== undefined && known !== messageText) {
        this.violations.push(
          `number reused: ${stream}:${head.epoch}:${seq} was ${known} and is ${messageText}`,
        )
      }
      if (known === undefined) this.#take(history, stream, seq, messageText)
    }
    if (page.head.seq < history.head)
      this.violations.push(`rows lost: ${stream} ends at ${page.head.seq} after ${history.head} in one epoch`)
  }

  /** What was there when an epoch began. */
  async #takeBase(log: JudgedLog, stream: string, history: History): Promise<void> {
    const head = await log.head(stream)
    if (head.seq > 0) return
    const collections = [`/${stream}`]
    for (const collection of collections) {
      const { items } = await log.readCollection(collection, { limit: 100_000 })
      for (const { path, version, stateText } of items) {
        history.resources.set(path, [{ seq: 0, version, state: JSON.parse(stateText) as JsonObject }])
        if (collection === '/people') collections.push(`${path}/notes`)
      }
    }
  }

  #take(history: History, stream: string, seq: number, text: string): void {
    this.changes++
    history.messages.set(seq, text)
    if (seq !== history.head + 1) this.violations.push(`hole: ${stream} ${seq} after ${history.head}`)
    history.head = seq
    const message = parseMessage(text) as Exclude<Message, { event: 'reset' }>
    const { resource, version } = message
    const entries = history.resources.get(resource) ?? []
    history.resources.set(resource, entries)
    const before = entries.at(-1)
    // Once a tombstone is purged, versions go on above the stream's floor.
    const isPurged = before !== undefined && before.state === undefined && version > before.version
    if (before !== undefined && version !== before.version + 1 && !isPurged) {
      this.violations.push(`versions: ${resource} ${version} after ${before.version}`)
    }
    entries.push({ seq, version, state: stateAfter(message, before?.state) })
  }

  #history(stream: string, epoch: string): History {
    const key = `${stream}:${epoch}`
    let history = this.#histories.get(key)
    if (history === undefined) {
      history = { head: 0, messages: new Map(), resources: new Map() }
      this.#histories.set(key, history)
    }
    return history
  }
}

function stateAfter(
  message: Exclude<Message, { event: 'reset' }>,
  before: JsonObject | undefined,
): JsonObject | undefined {
  if (message.event === 'deleted') return undefined
  if (message.state !== undefined) return message.state
  return applyMergePatch(before, (message as { changes: JsonObject }).changes) as JsonObject
}
