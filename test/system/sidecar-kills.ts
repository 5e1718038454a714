/**
 * Random writes of many clients on json-server through the sidecar, while sidecar, json-server and broker are killed, and some writes go round it.
 * In the end every follower holds what json-server has, and none ever showed what json-server cannot have had.
 */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connect } from 'lockstep/client'
import { type BrokerProgram, freePort, startBrokerProgram } from '../support/broker-program.ts'
import { startJsonServer } from '../support/mirrored-program.ts'
import { startMosquitto } from '../support/mosquitto.ts'
import { createRandom, type Random } from '../support/random.ts'

export interface SidecarKillsOptions {
  readonly writes: number
  /** Kills of each of sidecar, json-server and broker. */
  readonly kills: number
  readonly seed: number
  /** From one scan to the next. @default 1 */
  readonly scanSeconds?: number
  readonly onProgress?: (writes: number) => void
}

export interface SidecarKillsResult {
  readonly answered: number
  /** Without an answer, or with one of 5xx. */
  readonly unknown: number
  /** Written round the sidecar. */
  readonly round: number
  readonly kills: number
  /** States and deletions that the followers showed. */
  readonly shown: number
  /** From the last write, or the last start, until every follower was as json-server is. */
  readonly convergedMs: number
}

const clients = 16
const ids = 80
const bin = fileURLToPath(new URL('../../src/cli/bin.ts', import.meta.url))
const convergenceLimitMs = 40_000

export async function runSidecarKills(options: SidecarKillsOptions): Promise<SidecarKillsResult> {
  const { writes, kills, seed, scanSeconds = 1 } = options
  const random = createRandom(seed)
  await using opened = new AsyncDisposableStack()
  const api = opened.use(await startJsonServer({ people: [], orders: [] }))
  const broker = opened.use(await startMosquitto())
  const dir = await mkdtemp(join(tmpdir(), 'lockstep-sidecar-'))
  opened.defer(() => rm(dir, { recursive: true, force: true }))
  const sidecar = opened.use(await startSidecar(dir, api.url, broker.url, scanSeconds))
  const url = `http://127.0.0.1:${sidecar.port}`
  const ledger = new Ledger()
  const watchers = await Promise.all([
    watch(opened, ledger, { api: `${url}/_mirror`, broker: broker.url }),
    watch(opened, ledger, { api: `${url}/_mirror` }),
  ])
  const load: Load = { url, direct: api.url, random, ledger, left: writes, answered: 0, unknown: 0, round: 0 }
  const killing = killInTurn([sidecar, api, broker], { kills, load, writes, random })
  await Promise.all(Array.from({ length: clients }, () => writeOn(load, options.onProgress)))
  await killing
  const beginMs = performance.now()
  for (const follower of watchers) await converge(follower, api.url, beginMs)
  const convergedMs = performance.now() - beginMs
  const { answered, unknown, round } = load
  return { answered, unknown, round, kills: kills * 3, shown: ledger.shown, convergedMs }
}

async function startSidecar(
  dir: string,
  api: string,
  broker: string,
  scanSeconds: number,
): Promise<BrokerProgram> {
  const port = await freePort()
  const command = ['mirror', api, '--resources', 'people,orders', '--port', String(port), '--broker', broker]
  return await startBrokerProgram(port, dir, {
    program: 'lockstep',
    path: process.execPath,
    args: [bin, ...command, '--data', join(dir, 'data'), '--scan', String(scanSeconds)],
    ready: /Broker/,
  })
}

interface Person {
  readonly id: string
  readonly stamp?: string
  readonly note?: string
}

/** What was ever sent: json-server cannot have had anything else. */
class Ledger {
  readonly #stamps = new Map<string, Set<string>>()
  readonly #notes = new Map<string, Set<string>>()
  shown = 0

  sent(id: string, stamp: string | undefined, note: string | undefined): void {
    if (stamp !== undefined) add(this.#stamps, id, stamp)
    if (note !== undefined) add(this.#notes, id, note)
  }

  check({ id, stamp, note, ...rest }: Person): void {
    this.shown++
    assert.deepEqual(Object.keys(rest), [], `${id} has members that nobody sent`)
    // The id that json-server chose is known from its answer only, which may have been lost.
    const known = this.#stamps.get(id) ?? this.#stamps.get('')
    if (stamp !== undefined)
      assert.ok(known?.has(stamp) || this.#stamps.get('')?.has(stamp), `${id} never had the stamp ${stamp}`)
    if (note !== undefined) assert.ok(this.#notes.get(id)?.has(note), `${id} never had the note ${note}`)
  }
}

function add(sets: Map<string, Set<string>>, id: string, text: string): void {
  const known = sets.get(id)
  if (known === undefined) sets.set(id, new Set([text]))
  else known.add(text)
}

type Follower = Awaited<ReturnType<typeof watch>>

async function watch(opened: AsyncDisposableStack, ledger: Ledger, at: { api: string; broker?: string }) {
  const connection = await connect<{ people: Person }>({ ...at, onError: () => {} })
  opened.use(connection)
  const follower = connection.follow('/people')
  follower.on('change', change => {
    if (change.event === 'refreshed') for (const state of follower.state.values()) ledger.check(state)
    else if (change.event !== 'deleted') ledger.check(follower.state.get(change.id)!)
    else ledger.shown++
  })
  return follower
}

interface Load {
  readonly url: string
  readonly direct: string
  readonly random: Random
  readonly ledger: Ledger
  left: number
  answered: number
  unknown: number
  round: number
}

async function writeOn(load: Load, onProgress: SidecarKillsOptions['onProgress']): Promise<void> {
  while (load.left > 0) {
    load.left--
    onProgress?.(load.left)
    const request = makeWrite(load)
    const isRound = load.random.below(20) === 0
    if (isRound) load.round++
    try {
      const response = await fetch((isRound ? load.direct : load.url) + request.path, {
        method: request.method,
        headers: { 'content-type': 'application/json' },
        ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
        signal: AbortSignal.timeout(30_000),
      })
      await response.arrayBuffer()
      if (response.status === 503) throw new Error('json-server is not there')
      if (response.status < 500) load.answered++
      else load.unknown++
    } catch {
      // It may have been made. Another one is sent in its place, when there may be somebody to take it.
      load.unknown++
      load.left++
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }
}

let lastStamp = 0

function makeWrite({ random, ledger }: Load): { method: string; path: string; body?: object } {
  const id = `p${random.below(ids)}`
  const stamp = `s${++lastStamp}`
  const kind = random.below(10)
  if (kind < 3) {
    ledger.sent(id, stamp, undefined)
    return { method: 'POST', path: '/people', body: { id, stamp } }
  }
  if (kind === 3) {
    ledger.sent('', stamp, undefined)
    return { method: 'POST', path: '/people', body: { stamp } }
  }
  if (kind < 6) {
    ledger.sent(id, stamp, undefined)
    return { method: 'PUT', path: `/people/${id}`, body: { stamp } }
  }
  if (kind < 8) {
    ledger.sent(id, undefined, stamp)
    return { method: 'PATCH', path: `/people/${id}`, body: { note: stamp } }
  }
  return { method: 'DELETE', path: `/people/${id}` }
}

interface Killing {
  readonly kills: number
  readonly load: Load
  readonly writes: number
  readonly random: Random
}

/** One after another, at points of the load that are spread evenly; each is back at once. */
async function killInTurn(
  programs: readonly Pick<BrokerProgram, 'kill' | 'restart'>[],
  { kills, load, writes, random }: Killing,
): Promise<void> {
  const count = kills * programs.length
  for (let index = 0; index < count; index++) {
    const at = Math.floor((writes * (index + 1)) / (count + 1)) + random.below(20)
    while (writes - load.left < at && load.left > 0) await new Promise(resolve => setTimeout(resolve, 5))
    const program = programs[index % programs.length]!
    await program.kill()
    await program.restart()
  }
}

/** Resolves when the follower is as json-server is now. */
async function converge(follower: Follower, api: string, beginMs: number): Promise<void> {
  for (;;) {
    const people = (await (await fetch(`${api}/people`)).json()) as (Person & { id: string | number })[]
    // Of the ids that json-server makes some begin with "_": those are reserved, and are not mirrored.
    const mirrored = people.filter(({ id }) => !String(id).startsWith('_'))
    const wanted = Object.fromEntries(
      mirrored.map(person => [person.id, { ...person, id: String(person.id) }]),
    )
    const held = Object.fromEntries(follower.state)
    try {
      assert.deepEqual(held, wanted)
      return
    } catch (error) {
      if (performance.now() - beginMs > convergenceLimitMs) throw error
    }
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}
