/**
 * Messages of an API's streams without a gap or a repetition: from the broker as long as they follow on each
 * other, from the feed wherever they do not. PROTOCOL.md §5, §6.
 *
 * Whole streams are listened to, since only there numbers show holes; the filter chooses what is passed on.
 */
import type { Broker, Delivery } from 'lockstep/broker'
import {
  type ChangeMessage,
  formatMarker,
  formatPosition,
  type Head,
  headTopic,
  isJsonObject,
  isLockstepError,
  LockstepError,
  type Message,
  matchesTopicFilter,
  parseMarker,
  parsePosition,
} from 'lockstep/contract'
import { askForJson } from './api-request.ts'
import type { Beginning } from './argument.ts'
import { readDelivery } from './delivery.ts'
import { explain } from './failure.ts'
import { type FeedPage, readFeedPage } from './feed-page.ts'
import { pause } from './stop.ts'
import { createTailOrder } from './tail-order.ts'
import { printNotice, printWarning } from './terminal.ts'

export interface FeedTailOptions {
  readonly broker: Broker
  readonly filter: string
  /** The API root, without a trailing slash. */
  readonly root: string
  readonly beginning: Beginning
  readonly headers: Readonly<Record<string, string>>
  readonly signal: AbortSignal
  readonly onMessage: (topic: string, message: Message) => void
  readonly onHead: (topic: string, head: Head) => void
}

const retryMs = { first: 250, most: 5_000 }

/**
 * Prints what there is and goes on until the signal. Resolves when all streams are listened to. Errors:
 * `api-unreachable`, `timeout`, `api-refused` where the beginning cannot be found.
 */
export async function openFeedTail(options: FeedTailOptions): Promise<void> {
  const { broker, beginning } = options
  const tails: StreamTail[] = []
  for (const stream of await listStreams(options)) {
    const probe = await readFeedPage({ ...options, stream, after: 'now' })
    if (mayMatch(options.filter, probe.topicPrefix + stream))
      tails.push(createStreamTail(stream, probe, options))
  }
  if (tails.length === 0) {
    throw new LockstepError(
      'invalid-option',
      `No collection of ${options.root} has topics that ${options.filter} takes.`,
    )
  }
  if (
    typeof beginning !== 'string' &&
    !tails.some(({ stream }) => beginning.some(each => each.stream === stream))
  ) {
    const taken = tails.map(({ stream }) => stream).join(', ')
    throw new LockstepError(
      'invalid-option',
      `The marker ${formatMarker(beginning)} names no stream that ${options.filter} takes; that takes ${taken}.`,
    )
  }
  broker.onConnection(connected => {
    if (connected) for (const tail of tails) void tail.fill()
  })
  if (beginning !== 'now') await Promise.all(tails.map(tail => tail.fill()))
  // What is published between the filling and the subscription is seen by the next filling.
  await broker.subscribe(
    tails.flatMap(({ topic, headTopic }) => [`${topic}/#`, headTopic]),
    delivery => {
      for (const tail of tails) tail.hear(delivery)
    },
  )
  for (const tail of tails) void tail.fill()
}

interface StreamTail {
  readonly stream: string
  readonly topic: string
  readonly headTopic: string
  hear(delivery: Delivery): void
  /** Reads the feed until nothing is missing. */
  fill(): Promise<void>
}

interface Passing {
  /** Where it was published, or may have been. */
  readonly topics: readonly string[]
  readonly message: Message
}

function createStreamTail(stream: string, probe: FeedPage, options: FeedTailOptions): StreamTail {
  const { topicPrefix } = probe
  const topic = topicPrefix + stream
  const streamHeadTopic = headTopic(stream, topicPrefix)
  const order = createTailOrder<Passing>(findStart(stream, probe, options.beginning))
  let isEarliest = options.beginning === 'earliest'
  let isReadAgain = false
  let filling: Promise<void> | undefined

  function pass(items: readonly Passing[]): void {
    for (const { topics, message } of items) {
      const topic = topics.find(each => matchesTopicFilter(options.filter, each))
      if (topic !== undefined) options.onMessage(topic, message)
    }
  }

  async function read(): Promise<void> {
    const { epoch, seq } = order.position
    const after = isEarliest ? 'earliest' : `${epoch}:${seq}`
    const page = await readFeedPage({ ...options, stream, after })
    if (isEarliest) pass(order.jump({ epoch: page.epoch, seq: page.after }))
    isEarliest = false
    const changes = page.changes.map(({ seq, message }) => ({
      seq,
      item: { message, topics: topicsOf(message, topicPrefix) },
    }))
    pass(order.takePage({ ...page, changes }))
  }

  async function fill(): Promise<void> {
    let delayMs = retryMs.first
    do {
      isReadAgain = false
      try {
        await read()
        delayMs = retryMs.first
      } catch (error) {
        if (options.signal.aborted) return
        if (isLockstepError(error, 'position-gone')) leap(error)
        else {
          if (delayMs === retryMs.first) printWarning(`${explain(error)} It is asked again.`)
          await pause(delayMs, options.signal)
          delayMs = Math.min(delayMs * 2, retryMs.most)
          isReadAgain = true
        }
      }
    } while ((isReadAgain || order.isBehind) && !options.signal.aborted)
  }

  /** What lies between is gone for good: that is said, never passed over. */
  function leap(error: LockstepError): void {
    const { marker } = error.extra
    const next =
      typeof marker === 'string'
        ? parseMarker(marker).find(position => position.stream === stream)
        : undefined
    if (next === undefined) throw error
    printWarning(
      `The changes between ${formatPosition(order.position)} and ${formatPosition(next)} are no longer held: a gap. Going on from there.`,
    )
    pass(order.jump(next))
  }

  function hearMessage(at: string, message: Message): void {
    const { stream: from, epoch, seq } = parsePosition(message.id)
    if (from !== stream || (at !== topic && !at.startsWith(`${topic}/`))) return
    const item: Passing = { message, topics: [at] }
    if (message.event !== 'reset') {
      pass(order.takeMessage({ epoch, seq, item }))
      return
    }
    printNotice(`${stream} was reset: what came before ${message.id} is not told one by one.`)
    pass([item])
    pass(order.jump({ epoch, seq }))
  }

  const tail: StreamTail = {
    stream,
    topic,
    headTopic: streamHeadTopic,

    hear(delivery) {
      const read = readDelivery(delivery)
      if (read.kind === 'head' && delivery.topic === streamHeadTopic && read.head.stream === stream) {
        order.takeHead(read.head)
        options.onHead(delivery.topic, read.head)
      } else if (read.kind === 'message') hearMessage(delivery.topic, read.message)
      if (order.isBehind) void tail.fill()
    },

    fill() {
      isReadAgain = true
      filling ??= fill().finally(() => {
        filling = undefined
      })
      return filling
    },
  }
  return tail
}

function findStart(
  stream: string,
  probe: FeedPage,
  beginning: Beginning,
): { stream: string; epoch: string; seq: number } {
  const given =
    typeof beginning === 'string' ? undefined : beginning.find(position => position.stream === stream)
  return given ?? { stream, epoch: probe.epoch, seq: probe.head }
}

/** The streams that the API lists at its root; those of the marker where it lists none. */
async function listStreams({ root, beginning, headers }: FeedTailOptions): Promise<readonly string[]> {
  const named = typeof beginning === 'string' ? [] : beginning.map(({ stream }) => stream)
  try {
    const { value } = await askForJson({ url: `${root}/`, headers })
    const resources = isJsonObject(value) && Array.isArray(value['resources']) ? value['resources'] : []
    const listed = resources.flatMap(resource => {
      const changes = isJsonObject(resource) ? resource['changes'] : undefined
      return typeof changes === 'string' ? (/([^/]+)\/_changes$/.exec(changes)?.slice(1, 2) ?? []) : []
    })
    if (listed.length > 0) return [...new Set(listed)]
  } catch (error) {
    if (!isLockstepError(error, 'api-refused')) throw error
  }
  if (named.length > 0) return named
  throw new LockstepError(
    'api-refused',
    `${root}/ does not list its collections. Check --api, or name the stream with --after, such as people:k3f9:1042.`,
  )
}

/** A creation went to the collection after a POST, to the resource after a PUT (PROTOCOL.md §2.3). */
function topicsOf({ event, resource }: ChangeMessage, prefix: string): string[] {
  const topic = prefix + resource.slice(1)
  return event === 'created' ? [topic.slice(0, topic.lastIndexOf('/')), topic] : [topic]
}

/** May the filter take any topic at or below this one? */
function mayMatch(filter: string, topic: string): boolean {
  const wanted = filter.split('/')
  return topic.split('/').every((level, index) => {
    const before = wanted.slice(0, index + 1)
    return before.includes('#') || wanted[index] === '+' || wanted[index] === level
  })
}
