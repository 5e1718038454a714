/**
 * The change log as the public sees it: a log of its own, in which what is hidden is not.
 *
 * The handlers of requests, feed and relay work with it as with any log, and so they cannot show, compare or count what is hidden: not in
 * a list's filter, a patch's test, an embed or a retry. Numbers and versions are those of the whole; the epoch is the public's own. What
 * is written through it is put into the place of what was shown. PROTOCOL.md §13.
 */
import {
  completeMessage,
  diffMergePatch,
  type Head,
  type JsonObject,
  LockstepError,
  type Marker,
  publicEpochOf,
} from '../contract/index.ts'
import type {
  ChangeLog,
  LatestPage,
  LoggedChange,
  LogTransaction,
  NewChange,
  ReadChangesOptions,
  StoredResource,
} from '../log/change-log.ts'
import type { FaceOf } from './marked-log.ts'
import { projectMessage, restoreHidden, showStateText } from './projection.ts'
import type { Resource } from './resource.ts'
import { wrapLog } from './wrapped-log.ts'

export interface PublicLogParts {
  /** The log that marks changes. */
  readonly log: ChangeLog
  readonly faceOf: FaceOf
  /** The whole resource at a canonical path. */
  readonly resourceOf: (path: string) => Resource<object> | undefined
  /** Stands for all that is declared public of a stream. */
  readonly ruleOf: (stream: string) => string
}

export function createPublicLog(parts: PublicLogParts): ChangeLog {
  const { log, faceOf } = parts
  /** Up to where changes cannot be told to the public, by epoch: they were judged by no declaration, or by another one. */
  const untold = new Map<string, number>()
  const showHead = (head: Head): Head => {
    const epoch = publicEpochOf(head.epoch, parts.ruleOf(head.stream))
    const first = Math.max(head.first, (untold.get(`${head.stream}:${epoch}`) ?? 0) + 1)
    return { ...head, epoch, first }
  }
  const showMarker = (marker: Marker): Marker =>
    marker.map(position => ({
      ...position,
      epoch: publicEpochOf(position.epoch, parts.ruleOf(position.stream)),
    }))

  async function readChanges(
    stream: string,
    options: ReadChangesOptions,
  ): ReturnType<ChangeLog['readChanges']> {
    const page = await log.readChanges(stream, options)
    const { epoch } = showHead(page.head)
    const changes: LoggedChange[] = []
    let untellable = 0
    for (const change of page.changes) {
      const face = faceOf(change.path)
      const told = projectMessage(face, JSON.parse(change.messageText) as JsonObject)
      if (told === 'untellable') untellable = change.seq
      else if (told !== undefined) changes.push(publicChange(change, told.message, { stream, epoch }))
    }
    if (untellable === 0) return { head: showHead(page.head), to: page.to, changes }
    const key = `${stream}:${epoch}`
    untold.set(key, Math.max(untold.get(key) ?? 0, untellable))
    return { head: showHead(page.head), to: options.after, changes: [] }
  }

  return wrapLog(log, {
    ensureStreams: async streams => (await log.ensureStreams(streams)).map(showHead),
    async write(work) {
      const { value, marker } = await log.write(tx => work(createPublicTransaction(tx, parts, showMarker)))
      return { value, marker: showMarker(marker) }
    },
    head: async stream => showHead(await log.head(stream)),
    async readResource(path) {
      const { head, resource } = await log.readResource(path)
      return { head: showHead(head), resource: showResource(parts, path, resource) }
    },
    async readCollection(path, options) {
      const page = await log.readCollection(path, options)
      const { more, items } = page
      const shown = items.flatMap(item => {
        const face = faceOf(item.path)
        const stateText = face && showStateText(face, item.stateText)
        return stateText === undefined ? [] : [{ ...item, stateText }]
      })
      const lookedAt = { count: items.length, lastPath: items.at(-1)?.path }
      return { head: showHead(page.head), items: shown, more, lookedAt }
    },
    readChanges,
    readLatest: (stream, options) => readLatest(parts, readChanges, stream, options),
  })
}

function publicChange(
  change: LoggedChange,
  message: JsonObject,
  { stream, epoch }: { readonly stream: string; readonly epoch: string },
): LoggedChange {
  const open = JSON.stringify(message).slice(0, -1)
  const event = message['event'] as LoggedChange['event']
  // What becomes visible by a change of its own is told where the change was made.
  return { ...change, event, messageText: completeMessage(open, { stream, epoch, seq: change.seq }) }
}

/** What became of each resource that the public was told of in the interval. */
async function readLatest(
  { log, faceOf }: PublicLogParts,
  readChanges: ChangeLog['readChanges'],
  stream: string,
  options: ReadChangesOptions,
): Promise<LatestPage> {
  const { head, to, changes } = await readChanges(stream, options)
  const last = new Map<string, LoggedChange>()
  for (const change of changes) {
    last.delete(change.path)
    last.set(change.path, change)
  }
  const latest: LatestPage['latest'][number][] = []
  for (const { path, seq, version, event } of last.values()) {
    if (event === 'deleted') {
      latest.push({ path, seq, version, stateText: undefined })
      continue
    }
    const { resource } = await log.readResource(path)
    const face = faceOf(path)
    const stateText = face && showStateText(face, resource.stateText)
    latest.push({ path, seq, version: resource.version, stateText })
  }
  return { head, to, latest }
}

/** What is hidden is as if it had never been. That something was deleted is said only where everything was to be seen. */
function showResource({ faceOf }: PublicLogParts, path: string, resource: StoredResource): StoredResource {
  const face = faceOf(path)
  const stateText = face && showStateText(face, resource.stateText)
  const deleted = resource.deleted && face !== undefined && face.where.length === 0
  return { version: resource.version, stateText, deleted }
}

/** A unit of work of the public: it reads what is shown, and what it writes leaves hidden members as they are. */
function createPublicTransaction(
  tx: LogTransaction,
  parts: PublicLogParts,
  showMarker: (marker: Marker) => Marker,
): LogTransaction {
  const stateTexts = new Map<string, string | undefined>()
  return {
    get changesLeft() {
      return tx.changesLeft
    },
    async read(path) {
      const resource = await tx.read(path)
      stateTexts.set(path, resource.stateText)
      return showResource(parts, path, resource)
    },
    readPathsUnder: (path, limit) => tx.readPathsUnder(path, limit),
    async write(change) {
      const whole = restoreChange(change, parts, stateTexts.get(change.path))
      await tx.write(whole)
      stateTexts.set(whole.path, whole.stateText)
    },
    async readReceipt(key) {
      const receipt = await tx.readReceipt(key)
      return receipt && { ...receipt, marker: showMarker(receipt.marker) }
    },
    writeReceipt: (key, text, timeMs) => tx.writeReceipt(key, text, timeMs),
  }
}

/** Errors: `not-found` for what would be created in a place that may be taken by what is hidden; `invalid-state`. */
function restoreChange(
  change: NewChange,
  { faceOf, resourceOf }: PublicLogParts,
  beforeText: string | undefined,
): NewChange {
  const { path, topicPath, event, stateText } = change
  if (stateText === undefined) return change
  const face = faceOf(path)!
  if (event === 'created' && face.where.length > 0 && topicPath === path)
    throw new LockstepError('not-found', `There is no ${path}.`)
  const before = beforeText === undefined ? undefined : (JSON.parse(beforeText) as JsonObject)
  const state = restoreHidden(face, before, JSON.parse(stateText) as JsonObject)
  // Which of the hidden restrictions it is must not be told.
  if (resourceOf(path)!.validate(state).length > 0)
    throw new LockstepError('invalid-state', `The state of ${path} cannot be taken.`, {
      faults: [{ pointer: '', detail: 'cannot be taken' }],
    })
  const wholeText = JSON.stringify(state)
  const changes =
    change.changesText === undefined || before === undefined ? undefined : diffMergePatch(before, state)
  const changesText = changes && JSON.stringify(changes)
  const isShorter = changesText !== undefined && changesText.length < wholeText.length
  return { ...change, stateText: wholeText, changesText: isShorter ? changesText : undefined }
}
