/**
 * Judges what several instances, relays and nodes have made of the writes: reads the log as the feed tells it, further at each
 * call, and folds it. What it demands is PROTOCOL.md 6.6, 7.1 and 7.2. Throws where something is lost, invented or numbered twice.
 */
import assert from 'node:assert/strict'
import { applyMergePatch, type JsonObject, type Message, parsePosition } from 'lockstep/contract'
import type { Outcome } from './scale-out-load.ts'

/** What a follower has shown. */
export interface Shown {
  readonly path: string
  readonly version: number
  /** `undefined` where it was deleted. */
  readonly state: JsonObject | undefined
}

export class Judge {
  /** The fold of the log so far, by path. */
  readonly states: Map<string, JsonObject> = new Map()
  readonly #url: string
  #epoch = ''
  #seq = 0
  readonly #versions = new Map<string, number>()
  /** The state of each version, as text; `''` for a deletion. */
  readonly #texts = new Map<string, string>()
  readonly #byCause = new Map<string, Message>()
  #judged = 0

  constructor(url: string) {
    this.#url = url
  }

  /** How many changes the log has. */
  get changes(): number {
    return this.#seq
  }

  /** Reads what came since the last call, each page from whichever instance answers. */
  async readOn(): Promise<void> {
    for (;;) {
      const after = this.#epoch === '' ? 'earliest' : `${this.#epoch}:${this.#seq}`
      const response = await fetch(`${this.#url}/people/_changes?limit=5000&after=${after}`)
      assert.equal(response.status, 200)
      const page = (await response.json()) as { to: number; head: number; changes: Message[] }
      for (const message of page.changes) this.#take(message)
      assert.equal(this.#seq, page.to)
      if (page.to === page.head) return
    }
  }

  /** Is each acknowledged write in the log exactly once, and no refused one? Looks at those that it has not seen yet. */
  judgeWrites(outcomes: readonly Outcome[]): void {
    for (const { cause, path, result, version } of outcomes.slice(this.#judged)) {
      const message = this.#byCause.get(cause)
      if (result === 'refused') assert.equal(message, undefined, `${cause} was refused and is in the log`)
      if (result !== 'acknowledged') continue
      assert.ok(message !== undefined, `${cause} was acknowledged and is not in the log`)
      assert.ok(message.event !== 'reset')
      assert.equal(message.resource, path)
      if (version === undefined) assert.equal(message.event, 'deleted')
      else assert.equal(message.version, version, `${cause} was acknowledged as another version`)
    }
    this.#judged = outcomes.length
    const asked = new Set(outcomes.map(({ cause }) => cause))
    for (const cause of this.#byCause.keys()) assert.ok(asked.has(cause), `nobody asked for ${cause}`)
  }

  /** Has the log all that a follower has shown, and did no version go back? */
  judgeShown(shown: readonly Shown[]): void {
    for (const { path, version, state } of shown) {
      if (state === undefined) continue
      const text = this.#texts.get(`${path} ${version}`)
      assert.equal(
        textOf(state),
        text,
        `a follower showed another ${path} version ${version} than the log has`,
      )
    }
  }

  #take(message: Message): void {
    assert.ok(message.event !== 'reset')
    const { epoch, seq } = parsePosition(message.id)
    if (this.#epoch === '') this.#epoch = epoch
    assert.equal(epoch, this.#epoch, 'a kill began a new epoch')
    assert.equal(seq, ++this.#seq, 'the numbers have a hole, or one stands twice')
    const { resource, version, cause } = message
    assert.equal(
      version,
      (this.#versions.get(resource) ?? 0) + 1,
      `the versions of ${resource} are not one apart`,
    )
    this.#versions.set(resource, version)
    assert.ok(cause !== undefined && !this.#byCause.has(cause), `${cause} is in the log twice`)
    this.#byCause.set(cause, message)
    const state = stateAfter(this.states.get(resource), message)
    if (state === undefined) this.states.delete(resource)
    else {
      assert.equal(state['name'], cause, `${message.id} has not the value that was written`)
      this.states.set(resource, state)
    }
    this.#texts.set(`${resource} ${version}`, state === undefined ? '' : textOf(state))
  }
}

function stateAfter(before: JsonObject | undefined, message: Message): JsonObject | undefined {
  if (message.event === 'reset' || message.event === 'deleted') return undefined
  if (message.state !== undefined) return message.state
  return applyMergePatch(before, (message as { changes: JsonObject }).changes) as JsonObject
}

/** States compare whatever the order of their members. */
function textOf(state: JsonObject): string {
  return JSON.stringify(Object.entries(state).sort(([a], [b]) => (a < b ? -1 : 1)))
}
