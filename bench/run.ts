/**
 * Answers the benchmark's questions: `npm run bench`, or `npm run bench -- patch relay`, or with `--quick`.
 *
 * Writes bench/results/<question>.json and .md, except where it is quick. Says at the end which targets were
 * missed; the exit code tells only whether everything was measured.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { question as catchUp } from './catch-up.ts'
import { question as changeCost } from './change-cost.ts'
import { question as documents } from './documents.ts'
import { question as feedPage } from './feed-page.ts'
import { question as gateway } from './gateway.ts'
import { type Machine, readMachine } from './harness/machine.ts'
import { findMosquitto } from './harness/mosquitto.ts'
import { findNchan, readNginxVersion } from './harness/nchan.ts'
import { findPostgres } from './harness/postgres.ts'
import type { Question } from './harness/question.ts'
import { type Answer, createAnswer, formatAnswer } from './harness/report.ts'
import { measureRounds } from './harness/rounds.ts'
import { question as latency } from './latency.ts'
import { question as liveFanOut, questionOfMany as liveFanOutToMany } from './live-fan-out.ts'
import { question as liveLatency } from './live-latency.ts'
import { question as liveMemory } from './live-memory.ts'
import { question as liveStorm } from './live-storm.ts'
import { question as memory } from './memory.ts'
import { question as middleware } from './middleware.ts'
import { question as patch } from './patch.ts'
import { question as postgres } from './postgres.ts'
import { question as postgresSize } from './postgres-size.ts'
import { question as relay } from './relay.ts'
import { question as replica } from './replica.ts'
import { question as sidecar } from './sidecar.ts'
import { question as sqliteSize } from './sqlite-size.ts'

const onPostgres: readonly Question[] = findPostgres() === undefined ? [] : [postgres, postgresSize]
const questions: readonly Question[] = [
  ...[
    patch,
    latency,
    relay,
    catchUp,
    memory,
    replica,
    changeCost,
    feedPage,
    gateway,
    middleware,
    sidecar,
    documents,
    sqliteSize,
  ],
  ...onPostgres,
  ...[liveFanOut, liveFanOutToMany, liveLatency, liveStorm, liveMemory],
]
const here = import.meta.dirname
const root = join(here, '..')

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean', default: false }, results: { type: 'string' } },
})
const { quick } = values
const results = values.results ?? (quick ? undefined : join(here, 'results'))
const asked = positionals.length === 0 ? questions : positionals.flatMap(findQuestions)

installPeers()
const startMs = performance.now()
const folder = join(root, '.lockstep', `bench-${process.pid}`)
await mkdir(folder, { recursive: true })
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
const mosquitto = findMosquitto()
const answers: Answer[] = []
let failures = 0
progress('looking at the machine')
const machine = await readMachine(folder, mosquitto, readVersions())
if (machine.busyBefore > 0.1) {
  progress(`others use ${Math.round(machine.busyBefore * 100)} % of the processors: do not quote this run`)
}
for (const question of asked) {
  try {
    answers.push(await ask(question, machine))
  } catch (error) {
    failures++
    progress(`${question.name} could not be measured: ${error instanceof Error ? error.stack : error}`)
  }
}
progress(`done in ${Math.round((performance.now() - startMs) / 1_000)} s`)
for (const { question, claims } of answers) {
  for (const { text, verdict } of claims) {
    if (!verdict.startsWith('met')) console.log(`${question}: ${verdict}: ${text}`)
  }
}
process.exit(failures === 0 ? 0 : 1)

async function ask(question: Question, machine: Machine): Promise<Answer> {
  const own = join(folder, question.name)
  await mkdir(own, { recursive: true })
  const say = (text: string): void => progress(`${question.name}: ${text}`)
  say('preparing')
  const deadlineMs = performance.now() + question.budgetS[quick ? 'quick' : 'full'] * 1_000
  await using prepared = await question.prepare({ quick, folder: own, mosquitto, progress: say })
  const measured = await measureRounds(prepared, say, deadlineMs)
  const answer = createAnswer(question, prepared, measured, { machine, quick })
  if (answer.busy.median > 0.1 || answer.busy.max > 0.5)
    say('others were at work meanwhile: do not quote this run')
  const text = formatAnswer(answer)
  console.log(`\n${text}`)
  if (results !== undefined) {
    await mkdir(results, { recursive: true })
    await writeFile(join(results, `${question.name}.json`), `${JSON.stringify(answer, null, 2)}\n`)
    await writeFile(join(results, `${question.name}.md`), text)
  }
  await rm(own, { recursive: true, force: true })
  return answer
}

function progress(text: string): void {
  const seconds = (performance.now() / 1_000).toFixed(0).padStart(4)
  console.error(`${seconds} s  ${text}`)
}

/** The question of that name, or all whose names begin with it. */
function findQuestions(name: string): readonly Question[] {
  const exact = questions.filter(question => question.name === name)
  const found = exact.length > 0 ? exact : questions.filter(question => question.name.startsWith(`${name}-`))
  if (found.length > 0) return found
  console.error(
    `There is no question ${name}. Known: ${questions.map(question => question.name).join(', ')}.`,
  )
  process.exit(1)
}

/** The peers have a lockfile of their own; without them nothing can be compared. */
function installPeers(): void {
  const peers = join(here, 'peers')
  if (existsSync(join(peers, 'node_modules', '.package-lock.json'))) return
  progress('installing the peers: npm ci in bench/peers')
  const options = { cwd: peers, stdio: 'inherit', shell: process.platform === 'win32' } as const
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], options)
  if (status !== 0) process.exit(1)
}

function readVersions(): Record<string, string> {
  const own = readManifest(root).dependencies
  const peers = readManifest(join(here, 'peers')).dependencies
  const { aedes, mqtt } = own
  const nginx = findNchan()
  const nchan: Record<string, string> =
    nginx === undefined ? {} : { 'nginx with Nchan': readNginxVersion(nginx) }
  return { aedes: aedes!, mqtt: mqtt!, ...peers, ...nchan }
}

function readManifest(folder: string): { readonly dependencies: Record<string, string> } {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
}
