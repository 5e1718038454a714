/**
 * Counts what the parts tell on their channels: metrics of the process, with names and units as Prometheus has them.
 *
 * Labels are routes, streams, statuses and codes, never ids, so that there are as many series as there are resources
 * declared. Which program keeps the numbers is behind the port, metrics-port.ts.
 */
import {
  bridgeChannel,
  type Channel,
  checkMethods,
  commitChannel,
  errorChannel,
  type FollowerMessage,
  followerChannel,
  isLockstepError,
  type RelayMessage,
  type RequestMessage,
  relayChannel,
  requestChannel,
} from '../contract/index.ts'
import { countBridges } from './bridge-metrics.ts'
import type { Labels, Metrics, Sample } from './metrics-port.ts'

/**
 * Begins to count; gives what ends it. Begin before services and followers are opened: what stood before is not seen.
 * Errors: `invalid-option`, those of the metrics.
 */
export function startMetrics(metrics: Metrics): () => void {
  const advice = 'Give createPrometheusMetrics(…), or an object with these three functions.'
  checkMethods('The metrics of startMetrics', metrics, ['counter', 'histogram', 'gauge'], advice)
  const ends = [
    hear(requestChannel, countRequests(metrics)),
    hear(relayChannel, countRelay(metrics)),
    hear(followerChannel, countFollowers(metrics)),
    hear(bridgeChannel, countBridges(metrics)),
    countCommits(metrics),
    countErrors(metrics),
  ]
  return () => {
    for (const end of ends) end()
  }
}

function hear<Message>(channel: Channel<Message>, count: (message: Message) => void): () => void {
  channel.subscribe(count)
  return () => channel.unsubscribe(count)
}

const requestBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]
const commitBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5]

const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

function countRequests(metrics: Metrics): (message: RequestMessage) => void {
  const count = metrics.counter({
    name: 'lockstep_requests_total',
    help: 'Requests answered.',
    labels: ['route', 'method', 'status'],
  })
  const measure = metrics.histogram({
    name: 'lockstep_request_duration_seconds',
    help: 'Time until the answer of a request was ready.',
    labels: ['route', 'method'],
    buckets: requestBuckets,
  })
  return message => {
    // A client may call its method anything.
    const method = methods.has(message.method) ? message.method : 'other'
    const route = message.route === '' ? 'none' : message.route
    count({ route, method, status: String(message.status) }, 1)
    measure({ route, method }, message.durationMs / 1_000)
  }
}

function countCommits(metrics: Metrics): () => void {
  const countWorks = metrics.counter({
    name: 'lockstep_works_total',
    help: 'Units of work that the change log has run, refused ones too.',
    labels: [],
  })
  const countChanges = metrics.counter({
    name: 'lockstep_changes_total',
    help: 'Changes written to the change log.',
    labels: [],
  })
  const measure = metrics.histogram({
    name: 'lockstep_commit_duration_seconds',
    help: 'Time that a durable commit took; several writes may share one.',
    labels: [],
    buckets: commitBuckets,
  })
  return hear(commitChannel, ({ works, changes, durationMs }) => {
    countWorks({}, works)
    countChanges({}, changes)
    measure({}, durationMs / 1_000)
  })
}

function countErrors(metrics: Metrics): () => void {
  const count = metrics.counter({
    name: 'lockstep_errors_total',
    help: 'What failed in the background or was answered with 5xx.',
    labels: ['stage', 'code'],
  })
  return hear(errorChannel, ({ error, stage }) =>
    count({ stage, code: isLockstepError(error) ? error.code : 'internal' }, 1),
  )
}

function countRelay(metrics: Metrics): (message: RelayMessage) => void {
  const labels = ['stream']
  const lags = new Map<string, number>()
  const connected = new Map<string, boolean>()
  const countPublished = metrics.counter({
    name: 'lockstep_relay_published_total',
    help: 'Changes that the broker has acknowledged.',
    labels,
  })
  const countResets = metrics.counter({
    name: 'lockstep_relay_resets_total',
    help: 'Resets that stood for a backlog or a new epoch.',
    labels,
  })
  const lag = { name: 'lockstep_relay_lag', help: 'Changes that the broker has not acknowledged.', labels }
  metrics.gauge(lag, () => sample(lags, value => value))
  const up = { name: 'lockstep_relay_connected', help: 'Is the broker connected? 1 or 0.', labels }
  metrics.gauge(up, () => sample(connected, Number))
  return message => {
    const { event, stream } = message
    if (event === 'published') countPublished({ stream }, 1)
    else if (event === 'reset') countResets({ stream }, 1)
    else if (event === 'closed') {
      lags.delete(stream)
      connected.delete(stream)
    } else {
      if (event === 'lag') lags.set(stream, message.lag)
      connected.set(stream, message.connected)
    }
  }
}

function sample<Value>(values: ReadonlyMap<string, Value>, toNumber: (value: Value) => number): Sample[] {
  return [...values].map(([stream, value]) => ({ labels: { stream }, value: toNumber(value) }))
}

interface Standing {
  readonly stream: string
  readonly status: string
  /** Since when the copy may be out of date; `undefined` while live. */
  readonly staleSince: number | undefined
}

function countFollowers(metrics: Metrics): (message: FollowerMessage) => void {
  const standing = new Map<number, Standing>()
  const countChanges = metrics.counter({
    name: 'lockstep_follower_changes_total',
    help: 'Changes of the copies that followers hold.',
    labels: ['stream', 'event'],
  })
  const countQuestions = metrics.counter({
    name: 'lockstep_follower_questions_total',
    help: 'What followers asked the API for: baselines, single resources, the feed.',
    labels: ['stream', 'question'],
  })
  const followers = { name: 'lockstep_followers', help: 'Followers by status.', labels: ['stream', 'status'] }
  metrics.gauge(followers, () => countStandings(standing.values()))
  const staleness = {
    name: 'lockstep_follower_stale_seconds',
    help: 'For how long the oldest copy may have been out of date; since it began where it holds nothing yet.',
    labels: ['stream'],
  }
  metrics.gauge(staleness, () => findOldest(standing.values()))
  return message => {
    const { event, stream, follower } = message
    if (event === 'changed') countChanges({ stream, event: message.change }, 1)
    else if (event === 'asked') countQuestions({ stream, question: message.question }, 1)
    else if (message.status === 'closed') standing.delete(follower)
    else standing.set(follower, standingOf(message, standing.get(follower)))
  }
}

function standingOf(
  { stream, status, staleForMs }: Extract<FollowerMessage, { event: 'status' }>,
  before: Standing | undefined,
): Standing {
  if (status === 'live') return { stream, status, staleSince: undefined }
  const now = performance.now()
  const staleSince = Number.isFinite(staleForMs) ? now - staleForMs : (before?.staleSince ?? now)
  return { stream, status, staleSince }
}

function countStandings(standings: Iterable<Standing>): Sample[] {
  const counts = new Map<string, { labels: Labels; value: number }>()
  for (const { stream, status } of standings) {
    const key = `${stream} ${status}`
    const value = (counts.get(key)?.value ?? 0) + 1
    counts.set(key, { labels: { stream, status }, value })
  }
  return [...counts.values()]
}

function findOldest(standings: Iterable<Standing>): Sample[] {
  const now = performance.now()
  const oldest = new Map<string, number>()
  for (const { stream, staleSince } of standings) {
    const ageMs = staleSince === undefined ? 0 : now - staleSince
    oldest.set(stream, Math.max(oldest.get(stream) ?? 0, ageMs))
  }
  return sample(oldest, ageMs => ageMs / 1_000)
}
