/**
 * A request that may change what is mirrored: it is noted before its handler runs, and what it changed is observed before its answer goes
 * out. PROTOCOL.md §14.
 */
import { formatResourceTag, parentOf, pathToTopic } from '../contract/index.ts'
import {
  type ClientWrite,
  judgeEnd,
  listDoubts,
  listHeld,
  type Mirrored,
  readState,
  toMirrored,
  valuesOf,
} from '../sidecar/observing.ts'
import {
  type Amendment,
  type Meeting,
  type MetAnswer,
  type MetRequest,
  readObject,
  unamended,
} from './meeting.ts'
import type { MeetingContext, Place } from './meeting-context.ts'
import { hasOwnTag } from './tags.ts'

/** Past it what is in doubt is a collection, and no longer each of its resources. */
const maxDoubts = 50_000

export class WriteMeeting implements Meeting {
  readonly isWrite = true
  readonly ready: Promise<void> | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly isHeld = true
  readonly #context: MeetingContext
  readonly #write: ClientWrite
  #held: readonly string[]
  readonly #cause: string
  /** The resource whose writing was told to the doubts. */
  #begun: string | undefined
  #isLeft = false
  #isAnswered = false

  constructor(
    context: MeetingContext,
    request: MetRequest,
    { method, rules }: Pick<ClientWrite, 'method' | 'rules'>,
    place: Place | undefined,
  ) {
    const write = { method, rules, target: place?.target }
    this.#context = context
    this.#write = write
    const { table, journal } = context.options
    this.#held = listHeld(table, write)
    this.#cause = context.makeCause(request.header('x-request-id'))
    this.headers = { ...(place && context.fieldsOf(place)), 'x-request-id': this.#cause }
    const written = journal.hold(this.#held)
    if (written === undefined) this.#begin()
    else this.ready = written.then(() => this.#begin())
  }

  #begin(): void {
    const { doubts } = this.#context.options
    const { target } = this.#write
    if (target?.kind !== 'resource' || doubts.size >= maxDoubts) return
    this.#begun = target.path
    doubts.begin(target.path, performance.now())
  }

  leave(): void {
    void this.#end({ status: undefined, header: () => undefined, body: undefined })
  }

  async end(answer: MetAnswer): Promise<Amendment> {
    const { report } = this.#context.options
    try {
      return await this.#end(answer)
    } catch (error) {
      report(error, { stage: 'observation' })
      return unamended
    }
  }

  #end(given: AnyEnd): Amendment | Promise<Amendment> {
    // A handler may go on after its client has left, and may even answer then.
    if (this.#isAnswered || (given.status === undefined && this.#isLeft)) return unamended
    this.#isLeft = true
    this.#isAnswered = given.status !== undefined
    const { table, doubts, journal } = this.#context.options
    const outcome = this.#outcomeOf(given)
    const how = judgeEnd(outcome)
    if (how === 'refused') {
      if (this.#begun !== undefined) doubts.end(this.#begun, how, {}, performance.now())
      journal.release(this.#held)
      this.#held = []
      return unamended
    }
    const paths = listDoubts(table, this.#write, outcome)
    const shown = how === 'answered' ? this.#findShown(paths, given) : undefined
    const seen = shown === undefined ? this.#look(paths, how, this.#begun) : this.#take(shown)
    this.#begun = undefined
    // What is uncertain is looked at several times, the last time much later.
    return how === 'uncertain' ? unamended : this.#amendWhenSeen(paths, given, seen)
  }

  #outcomeOf({ status, header, body, requestBody }: AnyEnd): Parameters<typeof listDoubts>[2] {
    const { method, rules } = this.#write
    const location = header('location')
    const fields = location === undefined ? [] : ['location', location]
    const isRead = method === 'POST' || rules.length > 0
    return {
      head:
        status === undefined
          ? undefined
          : { status, fields, reason: '', length: undefined, keepSeconds: undefined },
      isSent: true,
      sentBody:
        rules.length > 0 && typeof requestBody === 'object'
          ? Buffer.from(JSON.stringify(requestBody))
          : undefined,
      answerBody: isRead && body !== undefined ? Buffer.from(body) : undefined,
    }
  }

  /** The state that the answer shows, where it can be taken for what the application has. */
  #findShown(paths: readonly string[], { status, body }: AnyEnd): Shown | undefined {
    const { target, method } = this.#write
    const { whole, doubts } = this.#context.options
    const [path, other] = paths
    if (target === undefined || target.isBelow || path === undefined || other !== undefined) return undefined
    if (!whole.has(target.mirrored.template) || path === parentOf(path)) return undefined
    if (target.kind === 'collection') {
      if (path === target.path || doubts.has(path)) return undefined
    } else if (this.#begun === undefined || !doubts.isAlone(path)) return undefined
    if (method === 'DELETE') return { path, state: null }
    if (status !== 200 && status !== 201) return undefined
    const json = readObject(body)
    const state = json && readState(target.mirrored, json)
    if (state === undefined) return undefined
    return { path, state: toMirrored(target.mirrored, valuesOf(target.mirrored, path)['id']!, state) }
  }

  /** Records it while this write still counts as under way, so that no look comes between. */
  async #take({ path, state }: Shown): Promise<void> {
    const { doubts, shadow, journal, observer, report } = this.#context.options
    if (this.#begun === undefined) doubts.begin(path, performance.now())
    let isTaken = false
    const createdBy = this.#write.method === 'PUT' ? ('PUT' as const) : ('POST' as const)
    const isNew = this.#write.target!.kind === 'collection'
    try {
      // What is made anew, and is there already or was, has been seen by somebody later.
      const before = isNew ? (await shadow.log.readResource(path)).resource : undefined
      const isFirst = before === undefined || (before.stateText === undefined && !before.deleted)
      if (isFirst && (!isNew || doubts.isAlone(path))) {
        await shadow.record({ path, state, createdBy, cause: this.#cause })
        isTaken = true
      }
    } catch (error) {
      report(error, { stage: 'observation' })
    }
    if (!isTaken) return await this.#look([path], 'answered', path)
    doubts.end(path, 'refused', {}, performance.now())
    journal.release(this.#held)
    this.#held = []
    observer.pump()
  }

  /** Has the paths looked at; resolves when all of them were seen. */
  #look(paths: readonly string[], how: 'answered' | 'uncertain', begun: string | undefined): Promise<void> {
    const { doubts, journal, observer, isShared } = this.#context.options
    const { promise, resolve } = Promise.withResolvers<void>()
    const nowMs = performance.now()
    const held = this.#held
    this.#held = []
    let left = paths.length
    const done = (): void => {
      if (--left > 0) return
      journal.release(held)
      resolve()
    }
    for (const path of paths) {
      const reason = { cause: this.#cause, isPut: this.#write.method === 'PUT' }
      const onSeen = isShared ? this.#seeAgain(path, done) : done
      if (path === begun) doubts.end(path, how, { ...reason, onSeen }, nowMs)
      else doubts.raise(this.#bounded(path), how, { ...reason, onSeen }, nowMs)
    }
    if (paths.length === 0) done()
    observer.pump()
    return promise
  }

  /** Between a look and its record another process may have recorded something newer: what comes last has looked after both. */
  #seeAgain(path: string, onSeen: () => void): () => void {
    const { doubts, observer } = this.#context.options
    return () => {
      queueMicrotask(() => {
        doubts.raise(path, 'answered', { onSeen }, performance.now())
        observer.pump()
      })
    }
  }

  #bounded(path: string): string {
    const { doubts } = this.#context.options
    const isCollection = path.split('/').length % 2 === 0
    return isCollection || doubts.has(path) || doubts.size < maxDoubts ? path : parentOf(path)
  }

  async #amendWhenSeen(
    paths: readonly string[],
    { status, header, body }: AnyEnd,
    seen: Promise<void>,
  ): Promise<Amendment> {
    if (status === undefined) return unamended
    const { maxWaitMs, topicPrefix } = this.#context.options
    const isSeen = await within(maxWaitMs, seen)
    if (!isSeen || paths.length === 0) return unamended
    const headers: Record<string, string> = { 'lockstep-marker': this.#context.markerOf(paths) }
    const { target } = this.#write
    const [path] = paths
    if (target === undefined || target.isBelow || paths.length > 1 || path === undefined) return { headers }
    if (path === target.path && target.kind === 'collection') return { headers }
    headers['lockstep-topic'] = pathToTopic(path, topicPrefix)
    if (hasOwnTag(header('etag')) || this.#write.method === 'DELETE') return { headers }
    const etag = await this.#findTag(target.mirrored, path, body)
    return { headers: etag === undefined ? headers : { ...headers, etag } }
  }

  /** Where the answer has no body, the tag is that of what was recorded. */
  async #findTag(mirrored: Mirrored, path: string, body: MetAnswer['body']): Promise<string | undefined> {
    const { tags, options } = this.#context
    if (body !== undefined && body.length > 0) return await tags.find(mirrored, path, body)
    const { head, resource } = await options.shadow.log.readResource(path)
    return resource.stateText === undefined ? undefined : formatResourceTag(head.epoch, resource.version)
  }
}

/** `undefined`: there was no answer. */
type AnyEnd = Omit<MetAnswer, 'status'> & { readonly status: number | undefined }

interface Shown {
  readonly path: string
  readonly state: ReturnType<typeof toMirrored> | null
}

/** Does it come to its end in time? */
async function within(maxMs: number, work: Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>(resolve => {
    timer = setTimeout(() => resolve(false), maxMs)
  })
  try {
    return await Promise.race([work.then(() => true), late])
  } finally {
    clearTimeout(timer)
  }
}
