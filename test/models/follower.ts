/**
 * The model of following: service → numbers → relay → broker → follower of a collection.
 *
 * The service numbers its rows some time after it committed them, as with PostgreSQL; the broker loses, repeats and
 * reorders; the relay crashes between publishing and remembering. Reading the feed is one step, and what heads are
 * for is drawn in at rest: once all is quiet the follower reads the feed to its end. Restores and epochs are in
 * restore.ts. PROTOCOL.md §6.
 */
import type { Model, Visit } from './explore.ts'
import {
  foldRows,
  formatHeld,
  formatRow,
  type Operation,
  pairIn,
  pairsOf,
  patch,
  type Row,
  resourceCount,
  shownOf,
  valueIn,
  versionIn,
  withResource,
  writeRows,
} from './history.ts'

export const followerInvariants = {
  converges: 'C the copy ends equal to the service',
  monotonic: 'M no version goes back',
  noInvention: 'G nothing is shown that never was',
} as const

/** One mechanism that is left out. */
export type FollowerAblation =
  | 'get before subscribe'
  | 'state before marker'
  | 'no version check'
  | 'versions begin again after deletion'
  | 'no gap check'
  | 'no head'
  | 'changes without base'
  | 'mark before publish'

export interface FollowerScope {
  readonly operations: readonly Operation[]
  readonly without?: FollowerAblation
  /** How many messages the broker may lose. */
  readonly losses: number
  /** How often the relay may crash between publishing and remembering. */
  readonly repeats: number
}

/** `buffer` and `inFlight` count messages, two bits for each row; the broker has no order, so that counts say all. */
interface State {
  readonly committed: number
  readonly numbered: number
  readonly published: number
  readonly isSubscribed: boolean
  readonly inFlight: number
  readonly losses: number
  readonly repeats: number
  readonly phase: number
  readonly marker: number
  readonly baseline: number
  readonly position: number
  readonly copy: number
  readonly buffer: number
}

const phases = { new: 0, subscribed: 1, halfRead: 2, baselineTaken: 3, live: 4 } as const

interface World {
  readonly rows: readonly Row[]
  /** What the service holds after n rows. */
  readonly held: readonly number[]
  readonly legal: readonly ReadonlySet<number>[]
  readonly without: FollowerAblation | undefined
}

export function createFollowerModel({ operations, without, losses, repeats }: FollowerScope): Model<State> {
  const rows = writeRows(operations, 0, {
    forgetsVersions: without === 'versions begin again after deletion',
  })
  const held = foldRows(rows)
  const world: World = { rows, held, legal: pairsOf(held), without }
  return {
    initial: {
      committed: 0,
      numbered: 0,
      published: 0,
      isSubscribed: false,
      inFlight: 0,
      losses,
      repeats,
      phase: phases.new,
      marker: 0,
      baseline: 0,
      position: 0,
      copy: 0,
      buffer: 0,
    },
    key: keyOf,
    visit(state, visit) {
      visitService(world, state, visit)
      visitStart(world, state, visit)
      visitBroker(world, state, visit)
      visitRest(world, state, visit)
    },
  }
}

function keyOf(s: State): string {
  return String.fromCharCode(
    s.committed | (s.numbered << 3) | (s.published << 6) | (s.losses << 9) | (s.repeats << 11),
    s.phase | (s.marker << 3) | (s.position << 6) | (s.isSubscribed ? 512 : 0),
    s.inFlight,
    s.buffer,
    s.copy & 0xffff,
    s.copy >> 16,
    s.baseline & 0xffff,
    s.baseline >> 16,
  )
}

function visitService({ rows, without }: World, s: State, { step, reaches }: Visit<State>): void {
  const { committed, numbered, published } = s
  if (committed < rows.length) {
    step(`commit ${committed + 1}: ${formatRow(rows[committed]!)}`, { ...s, committed: committed + 1 })
  }
  if (numbered < committed) step(`number up to ${committed}`, { ...s, numbered: committed })
  if (published === numbered) return
  const seq = published + 1
  const inFlight = s.isSubscribed ? s.inFlight + one(seq) : s.inFlight
  step(`publish ${seq}`, { ...s, published: seq, inFlight })
  if (without === 'mark before publish')
    step(`mark ${seq}, crash before publishing`, { ...s, published: seq })
  if (s.repeats > 0) {
    reaches('the relay publishes again')
    step(`publish ${seq}, crash before marking`, { ...s, inFlight, repeats: s.repeats - 1 })
  }
}

/** The follower subscribes and takes its baseline. */
function visitStart(world: World, s: State, visit: Visit<State>): void {
  const { without, held } = world
  const { step } = visit
  const asksFirst = without === 'get before subscribe'
  if (s.phase === phases.new && !asksFirst) {
    step('subscribe', { ...s, isSubscribed: true, phase: phases.subscribed })
  }
  if (s.phase === (asksFirst ? phases.new : phases.subscribed)) {
    const baseline = shownOf(held[s.committed]!)
    if (without === 'state before marker') {
      step(`GET: state after ${s.committed}`, { ...s, phase: phases.halfRead, baseline })
    } else {
      const label = `GET: marker ${s.numbered}, state after ${s.committed}`
      step(label, { ...s, phase: phases.baselineTaken, marker: s.numbered, baseline })
    }
  }
  if (s.phase === phases.halfRead) {
    step(`GET: marker ${s.numbered}`, { ...s, phase: phases.baselineTaken, marker: s.numbered })
  }
  if (s.phase === phases.baselineTaken) {
    let live: State = { ...s, isSubscribed: true, phase: phases.live, copy: s.baseline, position: s.marker }
    for (let seq = 1; seq <= world.rows.length; seq++) {
      if (countOf(s.buffer, seq) > 0) live = takeMessage(world, live, seq, visit)
    }
    const label = asksFirst ? 'subscribe' : 'take the baseline, then what was kept'
    step(label, { ...live, marker: 0, baseline: 0, buffer: 0 })
  }
}

/** The broker delivers any message that is on its way, or loses it. */
function visitBroker(world: World, s: State, visit: Visit<State>): void {
  const { step } = visit
  for (let seq = 1; seq <= world.rows.length; seq++) {
    if (countOf(s.inFlight, seq) === 0) continue
    const rest: State = { ...s, inFlight: s.inFlight - one(seq) }
    if (s.losses > 0) step(`the broker loses ${seq}`, { ...rest, losses: s.losses - 1 })
    if (s.phase === phases.live) step(`deliver ${seq}`, takeMessage(world, rest, seq, visit))
    else step(`deliver ${seq}, kept`, { ...rest, buffer: s.buffer + one(seq) })
  }
}

function visitRest({ rows, held, without, ...rest }: World, s: State, visit: Visit<State>): void {
  if (s.committed < rows.length || s.numbered < s.committed || s.published < s.numbered) return
  if (s.inFlight !== 0 || s.phase !== phases.live) return
  visit.rests()
  if (s.position < s.numbered) visit.reaches('only a head tells the end')
  const { copy } = without === 'no head' ? s : readFeed({ rows, held, without, ...rest }, s, visit)
  const service = held[s.committed]!
  for (let resource = 0; resource < resourceCount; resource++) {
    if (valueIn(copy, resource) === valueIn(service, resource)) continue
    const detail = `at rest the service has ${formatHeld(service)}; the follower ${formatHeld(copy)}`
    visit.breaks(followerInvariants.converges, detail)
  }
}

/** What the follower does with a message: PROTOCOL.md §6.2. */
function takeMessage(world: World, s: State, seq: number, visit: Visit<State>): State {
  if (seq <= s.position) {
    visit.reaches('a message at or below the position is dropped')
    return s
  }
  if (seq > s.position + 1 && world.without !== 'no gap check') {
    visit.reaches('a hole is filled from the feed')
    return readFeed(world, s, visit)
  }
  return { ...s, copy: applyRow(world, s, s.copy, seq, visit), position: seq }
}

/** Takes in everything from the position to the end of what is numbered. */
function readFeed(world: World, s: State, visit: Visit<State>): State {
  let { copy } = s
  for (let seq = s.position + 1; seq <= s.numbered; seq++) copy = applyRow(world, s, copy, seq, visit)
  return { ...s, copy, position: Math.max(s.position, s.numbered) }
}

/** What the follower does with a row for one resource: PROTOCOL.md §6.3. */
function applyRow(world: World, s: State, copy: number, seq: number, visit: Visit<State>): number {
  const { rows, held, legal, without } = world
  const row = rows[seq - 1]!
  const { resource, isWhole, changes } = row
  const shownVersion = versionIn(copy, resource)
  const base = valueIn(copy, resource)
  if (without !== 'no version check' && row.version <= shownVersion) {
    visit.reaches('an old version is dropped')
    return copy
  }
  let { version, value } = row
  if (!isWhole) {
    const isBlind = without === 'changes without base' || without === 'no version check'
    if (isBlind || (version === shownVersion + 1 && base !== 0)) value = patch(base, changes)
    else {
      visit.reaches('a resource is fetched')
      version = versionIn(held[s.committed]!, resource)
      value = valueIn(held[s.committed]!, resource)
    }
  }
  const next = withResource(copy, resource, version, value)
  const shown = () => `taking ${seq} (${formatRow(row)}) the follower shows ${formatHeld(next)}`
  if (version < shownVersion) visit.breaks(followerInvariants.monotonic, shown())
  if (value !== 0 && !legal[resource]!.has(pairIn(next, resource))) {
    visit.breaks(followerInvariants.noInvention, shown())
  }
  const forgets = without === 'versions begin again after deletion' && value === 0
  return forgets ? withResource(copy, resource, 0, 0) : next
}

function one(seq: number): number {
  return 1 << ((seq - 1) * 2)
}

function countOf(messages: number, seq: number): number {
  return (messages >> ((seq - 1) * 2)) & 3
}
