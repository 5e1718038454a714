/**
 * How long after the answer to a PATCH does a follower know of it, beside the bare way through the same broker?
 *
 * The bare way is a message that mqtt.js publishes and mqtt.js receives. A time below 0 means that the follower
 * heard of the change before the writer had its answer.
 */
import { join } from 'node:path'
import { loadCore, serverCore, startProcess } from './harness/measured-process.ts'
import { startMosquitto } from './harness/mosquitto.ts'
import type { Column, Figures, Prepared, Question, Round, Setting, Variant } from './harness/question.ts'
import type { LatencyOptions, LatencyResult } from './programs/latency-follower.ts'
import type { TimesResult } from './programs/latency-subscriber.ts'
import type { ServiceProgramReady } from './programs/lockstep-service.ts'

const programs = {
  service: new URL('./programs/lockstep-service.ts', import.meta.url),
  follower: new URL('./programs/latency-follower.ts', import.meta.url),
  broker: new URL('./programs/embedded-broker.ts', import.meta.url),
  publisher: new URL('./programs/latency-publisher.ts', import.meta.url),
  subscriber: new URL('./programs/latency-subscriber.ts', import.meta.url),
}

const perSecond = 500
const people = 1_000

const names = {
  bareMosquitto: 'bare: mqtt.js, Mosquitto, mqtt.js',
  mosquitto: 'Lockstep over Mosquitto',
  bareEmbedded: 'bare: mqtt.js, embedded broker, mqtt.js',
  embedded: 'Lockstep over the embedded broker',
  events: 'Lockstep over an event stream',
}

const columns: readonly Column[] = [
  { figure: 'p50Ms', title: 'p50 ms', digits: 2 },
  { figure: 'p99Ms', title: 'p99 ms', digits: 2 },
  { figure: 'fromRequestP50Ms', title: 'p50 ms from the request', digits: 2 },
  { figure: 'fromRequestP99Ms', title: 'p99 ms from the request', digits: 2 },
]

export const question: Question = {
  name: 'latency',
  title: `Latency: from the answer to a PATCH to the follower's listener, at ${perSecond} writes/s`,
  budgetS: { full: 100, quick: 10 },
  prepare,
}

async function prepare(setting: Setting): Promise<Prepared> {
  const { quick, folder, mosquitto: installed } = setting
  const mosquitto = installed === undefined ? undefined : await startMosquitto(installed, folder)
  const bare = (name: string, url?: string): Variant => ({ name, measure: () => measureBare(setting, url) })
  const lockstep = (name: string, broker?: string): Variant => ({
    name,
    measure: () => measureLockstep(setting, broker),
  })
  const variants: Variant[] = []
  if (mosquitto !== undefined) {
    variants.push(bare(names.bareMosquitto, mosquitto.url), lockstep(names.mosquitto, mosquitto.url))
  }
  variants.push(bare(names.bareEmbedded), lockstep(names.embedded, 'embedded'), lockstep(names.events))
  const claim = (own: string, other: string): Prepared['claims'][number] => ({
    text: `p50 of ${own} : ${other}`,
    value: (round: Round) => {
      const [above, below] = [round[own]?.['p50Ms'], round[other]?.['p50Ms']]
      return above === undefined || below === undefined ? undefined : above / below
    },
    target: { atMost: 2 },
  })
  return {
    columns,
    variants,
    rounds: quick ? 2 : 5,
    claims: [claim(names.mosquitto, names.bareMosquitto), claim(names.embedded, names.bareEmbedded)],
    notes: [
      'Writer, follower and Mosquitto share core 1. Bare: from publishing to receiving, at the same rate. Below 0: the follower knew before the writer had its answer.',
      ...(mosquitto === undefined ? ['Mosquitto is not installed: its variants were left out.'] : []),
    ],
    async [Symbol.asyncDispose]() {
      await mosquitto?.stop()
    },
  }
}

function timesOf({ quick }: Setting): { warmupMs: number; durationMs: number } {
  return quick ? { warmupMs: 200, durationMs: 400 } : { warmupMs: 1_000, durationMs: 2_500 }
}

let files = 0

async function measureLockstep(setting: Setting, broker: string | undefined): Promise<Figures> {
  const { warmupMs, durationMs } = timesOf(setting)
  const file = join(setting.folder, `latency-${++files}.db`)
  await using service = await startProcess<ServiceProgramReady>(
    programs.service,
    { file, people, broker },
    { core: serverCore },
  )
  const options: LatencyOptions = { ...service.ready, brokerUrl: service.ready.brokerUrl, people, perSecond }
  await using follower = await startProcess(programs.follower, options, { core: loadCore })
  await follower.call('run', { durationMs: warmupMs })
  const result = await follower.call<LatencyResult>('run', { durationMs })
  return {
    p50Ms: result.fromResponseP50Ms,
    p99Ms: result.fromResponseP99Ms,
    fromRequestP50Ms: result.fromRequestP50Ms,
    fromRequestP99Ms: result.fromRequestP99Ms,
  }
}

/** Publisher on the core of the service, subscriber on that of the follower. */
async function measureBare(setting: Setting, url: string | undefined): Promise<Figures> {
  const { warmupMs, durationMs } = timesOf(setting)
  await using embedded =
    url === undefined
      ? await startProcess<{ url: string; publisherUrl: string }>(programs.broker, {}, { core: serverCore })
      : undefined
  const [subscriberUrl, publisherUrl] = [url ?? embedded!.ready.url, url ?? embedded!.ready.publisherUrl]
  await using subscriber = await startProcess(programs.subscriber, { url: subscriberUrl }, { core: loadCore })
  await using publisher = await startProcess(
    programs.publisher,
    { url: publisherUrl, perSecond },
    { core: serverCore },
  )
  await publisher.call('run', { durationMs: warmupMs })
  await subscriber.call('reset')
  await publisher.call('run', { durationMs })
  const { count, p50Ms, p99Ms } = await subscriber.call<TimesResult>('times')
  if (count < (perSecond * durationMs) / 1_000 / 2) throw new Error(`Only ${count} messages were received.`)
  return { p50Ms, p99Ms }
}
