/**
 * Kills parts of a scaled-out system under load for so many minutes: `npm run scale-out -- --minutes 5 --seed 7`. The last line has
 * the totals. It ends with an error where a promise is broken, and after an hour in any case.
 */
import { parseArgs } from 'node:util'
import { skipWithoutNats } from '../support/nats.ts'
import { skipWithoutPostgres } from '../support/postgres.ts'
import { createRandom, type Random } from '../support/random.ts'
import { type Fault, type Kind, type Recovery, runScaleOut, size } from './scale-out.ts'

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '5' }, seed: { type: 'string', default: '1' } },
})
const [minutes, seed] = [Number(values.minutes), Number(values.seed)]
if (!(minutes > 0 && minutes <= 60) || !Number.isSafeInteger(seed)) {
  console.error('Give --minutes from above 0 to 60, and as --seed a whole number.')
  process.exit(1)
}
const missing = skipWithoutPostgres || skipWithoutNats
if (missing) {
  console.error(`Scaling out cannot be shown: ${missing}. Run: npm run test:programs`)
  process.exit(1)
}

const kinds = Object.keys(size) as Kind[]
const parts = kinds.flatMap(kind =>
  Array.from({ length: size[kind] }, (_, number) => `${kind} ${number}` as const),
)
const endMs = performance.now() + minutes * 60_000
const recoveries = new Map<string, Recovery[]>()

const totals = await runScaleOut({
  seed,
  writers: 12,
  faults: chooseFaults(createRandom(seed)),
  judgeEvery: 3,
  untilLive: true,
  onFault(fault, recovery) {
    const name = nameOf(fault)
    recoveries.set(name, [...(recoveries.get(name) ?? []), recovery])
    const what = typeof fault === 'string' ? fault : fault.kill.join(' and ')
    const { equalMs, liveMs } = recovery
    const live = liveMs === undefined ? 'not live in a minute' : `live after ${liveMs.toFixed(0)} ms`
    console.log(`${what}: equal after ${equalMs.toFixed(0)} ms, ${live}`)
  },
})

for (const [name, each] of recoveries) {
  const equal = each.map(({ equalMs }) => equalMs)
  console.log(`${name}, ${each.length} times: equal ${summary(equal)}, live ${summary(liveTimes(each))}`)
}
const { acknowledged, unknown, unanswered, unansweredRolling, changes, answered } = totals
const all = totals.recoveries
console.log(
  `${minutes} minutes, ${all.length} faults: ${acknowledged} writes acknowledged by ${answered.length} instances, ${unknown} of unknown outcome, ` +
    `${unanswered} requests unanswered (${unansweredRolling} in rolling restarts), ${changes} changes in the log; ` +
    `lost 0, invented 0, numbered twice 0; followers equal ${summary(all.map(({ equalMs }) => equalMs))}, ` +
    `live ${summary(liveTimes(all))}, not in a minute ${all.length - liveTimes(all).length} times`,
)

/** Each part once, then any one, two of different kinds at once, or a rolling restart, until the time is up. */
function* chooseFaults(random: Random): Generator<Fault> {
  for (const part of parts) yield { kill: [part] }
  yield 'rolling restart'
  while (performance.now() < endMs) {
    const dice = random.below(10)
    const first = parts[random.below(parts.length)]!
    const others = parts.filter(part => part.split(' ')[0] !== first.split(' ')[0])
    if (dice === 0) yield 'rolling restart'
    else if (dice < 4) yield { kill: [first, others[random.below(others.length)]!] }
    else yield { kill: [first] }
  }
}

function nameOf(fault: Fault): string {
  if (typeof fault === 'string') return fault
  return fault.kill.length > 1 ? 'two at once' : fault.kill[0]!.split(' ')[0]!
}

function liveTimes(all: readonly Recovery[]): number[] {
  return all.map(({ liveMs }) => liveMs).filter(liveMs => liveMs !== undefined)
}

/** The median and the greatest, in seconds. */
function summary(timesMs: readonly number[]): string {
  const sorted = timesMs.toSorted((a, b) => a - b)
  const seconds = (ms: number | undefined = 0): string => `${(ms / 1_000).toFixed(1)} s`
  return `p50 ${seconds(sorted[Math.floor(sorted.length / 2)])}, most ${seconds(sorted.at(-1))}`
}
