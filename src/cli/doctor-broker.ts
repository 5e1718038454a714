/** What `lockstep doctor` looks at on the broker: the connection, the heads, and whether they tell of the same stream. */
import { connectMqtt } from 'lockstep/broker'
import { type Head, headTopic } from 'lockstep/contract'
import type { ApiPlace } from './api-place.ts'
import { showUrl } from './argument.ts'
import { readDelivery } from './delivery.ts'
import { formatMs, type Headers } from './doctor-api.ts'
import type { Check } from './doctor-check.ts'
import { explain } from './failure.ts'
import { type FeedPage, readFeedPage } from './feed-page.ts'

export interface BrokerVisit {
  readonly url: string
  readonly place: ApiPlace
  /** What the feed said before. */
  readonly page: FeedPage | undefined
  readonly headers: Headers
  /** How long to wait for a head. */
  readonly headMs: number
  /** Is told, while waiting for heads, how long that has taken. */
  readonly onProgress: (text: string) => void
}

const connectMs = 5_000

/** Gives each check as it is done. */
export async function* checkBroker(visit: BrokerVisit): AsyncGenerator<Check> {
  const { url, place } = visit
  const begin = performance.now()
  const refusal = Promise.withResolvers<never>()
  // Whoever follows waits for a broker; whoever looks after a system wants to know at once.
  await using broker = await connectMqtt(url, { onError: error => refusal.reject(error) })
  refusal.promise.catch(() => {})
  const head = Promise.withResolvers<Head>()
  const topic = headTopic(place.path.stream, place.topicPrefix)
  const subscribed = broker.subscribe([topic], delivery => {
    const read = readDelivery(delivery)
    // A retained one may be of any age: it says nothing about the relay now.
    if (read.kind === 'head' && !delivery.retained) head.resolve(read.head)
  })
  const fault = await within(
    connectMs,
    Promise.race([subscribed, refusal.promise]).then(() => '', explain),
  )
  if (fault !== '') {
    const detail = fault ?? `${showUrl(url)} did not answer within ${formatMs(connectMs)}`
    const next = 'Start the broker, or correct --broker.'
    yield {
      name: 'broker',
      status: 'failed',
      detail: detail.replace(/[;.] it is tried again\.$/i, '.'),
      next,
    }
    return
  }
  yield {
    name: 'broker',
    status: 'ok',
    detail: `${showUrl(url)} is connected after ${formatMs(performance.now() - begin)}`,
  }
  yield* checkHeads(visit, topic, head.promise)
}

async function* checkHeads(visit: BrokerVisit, topic: string, arrival: Promise<Head>): AsyncGenerator<Check> {
  const { headMs } = visit
  const begin = performance.now()
  const tick = (): void => {
    const left = Math.max(0, headMs - (performance.now() - begin))
    visit.onProgress(`waiting for a head on ${topic} … ${Math.ceil(left / 1_000)} s`)
  }
  tick()
  const ticking = setInterval(tick, 1_000)
  const head = await within(headMs, arrival)
  clearInterval(ticking)
  visit.onProgress('')
  if (head === undefined) {
    const next = 'Check that the service publishes to this broker, and may: its log says so if not.'
    yield {
      name: 'heads',
      status: 'failed',
      detail: `none came on ${topic} within ${formatMs(headMs)}`,
      next,
    }
    return
  }
  yield {
    name: 'heads',
    status: 'ok',
    detail: `one came on ${topic} after ${formatMs(performance.now() - begin)}`,
  }
  yield await checkLag(visit, head)
}

/** A head that came after a look at the API must not be behind what that saw. */
async function checkLag({ place, page, headers }: BrokerVisit, head: Head): Promise<Check> {
  const name = 'in step'
  if (page === undefined) return { name, status: 'skipped', detail: 'the feed has to answer first' }
  try {
    const root = place.feedUrl.replace(/\/[^/]+\/_changes$/, '')
    const now = await readFeedPage({ root, stream: place.path.stream, after: 'now', headers })
    if (head.epoch !== now.epoch) {
      const next =
        'The broker serves another database of the same name, or an instance that was replaced still runs.'
      return {
        name,
        status: 'failed',
        detail: `the broker's head is of the epoch ${head.epoch}, the API's of ${now.epoch}`,
        next,
      }
    }
    if (head.seq < page.head) {
      const next = "The service's relay is behind, or another instance publishes: read its log."
      return {
        name,
        status: 'failed',
        detail: `the broker's head ${head.seq} is ${page.head - head.seq} behind the API`,
        next,
      }
    }
    if (head.seq > now.head) {
      const next = 'Look for a cache before the feed, or for an instance on an older copy of the database.'
      return {
        name,
        status: 'failed',
        detail: `the API is at ${now.head}, ${head.seq - now.head} behind the broker's head`,
        next,
      }
    }
    return {
      name,
      status: 'ok',
      detail: `broker and API are both at ${head.epoch}:${head.seq}${now.head > head.seq ? ` (now ${now.head})` : ''}`,
    }
  } catch (error) {
    return { name, status: 'failed', detail: explain(error) }
  }
}

/** `undefined` where it takes longer. */
async function within<T>(timeoutMs: number, promise: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>(resolve => {
    timer = setTimeout(resolve, timeoutMs, undefined)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
