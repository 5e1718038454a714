/**
 * How fast does the relay empty a backlog, beside mqtt.js with 100 messages in flight and everything in memory?
 *
 * The relay reads the log, keeps order and its place, and can go on after a crash; mqtt.js alone can do none of
 * that.
 */
import { join } from 'node:path'
import { serverCore, startProcess } from './harness/measured-process.ts'
import { startMosquitto } from './harness/mosquitto.ts'
import {
  type Column,
  type Figures,
  type Prepared,
  type Question,
  ratio,
  type Setting,
  type Variant,
} from './harness/question.ts'
import type { RelayOptions, RelayResult } from './programs/relay-publisher.ts'

const program = new URL('./programs/relay-publisher.ts', import.meta.url)

const names = {
  mqttAlone: 'mqtt.js, 100 in flight, to Mosquitto',
  relay: 'Lockstep relay to Mosquitto',
  embedded: 'Lockstep relay to the embedded broker',
}

const columns: readonly Column[] = [
  { figure: 'messagesPerS', title: 'messages/s' },
  { figure: 'cpuUs', title: 'publisher CPU µs/message', digits: 1 },
]

export const question: Question = {
  name: 'relay',
  title: 'Relay: publishing a backlog of changes at QoS 1, no subscribers',
  budgetS: { full: 55, quick: 6 },
  prepare,
}

async function prepare(setting: Setting): Promise<Prepared> {
  const { quick, folder, mosquitto: installed } = setting
  const changes = quick ? 5_000 : 50_000
  const mosquitto = installed === undefined ? undefined : await startMosquitto(installed, folder)
  const variants: Variant[] = []
  const add = (name: string, options: Omit<RelayOptions, 'file' | 'changes'>): void => {
    variants.push({ name, measure: () => measure(folder, { ...options, changes }) })
  }
  if (mosquitto !== undefined) {
    add(names.mqttAlone, { broker: mosquitto.url, inFlight: 100 })
    add(names.relay, { broker: mosquitto.url })
  }
  add(names.embedded, { broker: 'embedded' })
  return {
    columns,
    variants,
    rounds: quick ? 2 : 5,
    claims: [
      {
        text: `${names.relay} : ${names.mqttAlone}`,
        value: ratio(names.relay, names.mqttAlone, 'messagesPerS'),
        target: { atLeast: 0.7 },
      },
    ],
    notes: [
      `${changes.toLocaleString('en-US')} changes; the clock starts when a tenth is acknowledged.`,
      ...(mosquitto === undefined ? ['Mosquitto is not installed: nothing can be compared.'] : []),
    ],
    async [Symbol.asyncDispose]() {
      await mosquitto?.stop()
    },
  }
}

let files = 0

async function measure(folder: string, options: Omit<RelayOptions, 'file'>): Promise<Figures> {
  const file = join(folder, `relay-${++files}.db`)
  await using publisher = await startProcess(program, { ...options, file }, { core: serverCore })
  const { messages, seconds, cpuUs } = await publisher.call<RelayResult>('publish')
  return { messagesPerS: messages / seconds, cpuUs: cpuUs / messages }
}
