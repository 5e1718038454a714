/**
 * The model of a page and the bridges that feed it: what happens between the baselines of a page and its live frames.
 *
 * The page is made of two baselines of different moments: one shows resource a of the stream P, the other b of P and c
 * of Q. Its marker is the minimum per stream. Two bridge instances follow both streams, each in its own order and with
 * its own losses; the second starts at any time, with an empty ring. The page connects to any of them, is cut off, and
 * connects again, perhaps to the other. Frames are intervals {after, to, messages}; a socket keeps their order, so that
 * a frame lost with it is as one that was not sent. PROTOCOL.md §5.3, §6.6.
 */
import {
  enterSession,
  type Frame,
  refresh,
  sendFrame,
  visitConnection,
  visitRendering,
} from './bridge-page.ts'
import {
  type Bridge,
  type BridgeScope,
  both,
  bridgeInvariants,
  createWorld,
  emptyPage,
  formatRow,
  formatStream,
  type Index,
  keyOf,
  nothing,
  phases,
  type State,
  sessions,
  versionsAt,
  type World,
  withNumber,
} from './bridge-world.ts'
import type { Model, Visit } from './explore.ts'

export function createBridgeModel(scope: BridgeScope): Model<State> {
  const world = createWorld(scope)
  const fresh: Bridge = { isStarted: true, start: nothing, last: nothing, lost: nothing }
  return {
    initial: {
      head: nothing,
      bridges: [fresh, { ...fresh, isStarted: false }],
      page: emptyPage,
      losses: scope.losses,
      cuts: scope.cuts,
    },
    key: keyOf,
    visit(state, visit) {
      for (const stream of both) visitService(world, state, stream, visit)
      for (const index of both) visitBridge(world, state, index, visit)
      visitRendering(world, state, visit)
      visitConnection(world, state, visit)
      for (const stream of both) visitSession(world, state, stream, visit)
      visitRest(world, state, visit)
    },
  }
}

function visitService({ length }: World, s: State, stream: Index, { step }: Visit<State>): void {
  const seq = s.head[stream] + 1
  if (seq <= length[stream]) {
    step(`commit ${formatRow(stream, seq)}`, { ...s, head: withNumber(s.head, stream, seq) })
  }
}

/** An instance starts, or gets on with a stream. */
function visitBridge(world: World, s: State, index: Index, visit: Visit<State>): void {
  const bridge = s.bridges[index]
  if (bridge.isStarted) {
    for (const stream of both) visitBacklog(world, s, { index, stream }, visit)
  } else {
    const started: Bridge = { ...bridge, isStarted: true, start: s.head, last: s.head }
    visit.step(`bridge ${index + 1} starts`, replaceBridge(s, index, started))
  }
}

/** A bridge hears the next message of a stream, loses it, or fills what it lost from the feed. */
function visitBacklog(
  world: World,
  s: State,
  { index, stream }: { index: Index; stream: Index },
  { step, reaches, ...visit }: Visit<State>,
): void {
  const bridge = s.bridges[index]
  const head = s.head[stream]
  const after = bridge.last[stream]
  const lost = bridge.lost[stream]
  if (after === head) return
  const who = `bridge ${index + 1}`
  /** Everything up to `to` comes in, and goes out to the page if it is in the live set. */
  const take = (to: number, nowLost: number): State => {
    const [last, stillLost] = [withNumber(bridge.last, stream, to), withNumber(bridge.lost, stream, nowLost)]
    const next = replaceBridge(s, index, { ...bridge, last, lost: stillLost })
    const isHere = s.page.phase === phases.connected + index && s.page.session[stream] === sessions.live
    const frame: Frame = { index, stream, after, to }
    return isHere ? sendFrame(world, next, frame, { step, reaches, ...visit }) : next
  }
  if (lost !== after + 1) {
    step(`${who} hears ${formatRow(stream, after + 1)}`, take(after + 1, lost))
    if (s.losses === 0 || lost !== 0) return
    const holed = replaceBridge(s, index, { ...bridge, lost: withNumber(bridge.lost, stream, after + 1) })
    step(`${who} loses ${formatRow(stream, after + 1)}`, { ...holed, losses: s.losses - 1 })
  } else if (world.has('serves beyond its hole') && lost < head) {
    step(`${who} hears ${formatRow(stream, lost + 1)} beyond its hole`, take(lost + 1, lost))
  } else {
    reaches('a bridge fills its hole')
    step(`${who} fills up to ${formatRow(stream, head)}`, take(head, 0))
  }
}

/** What a bridge does for a session that is not live yet. */
function visitSession(world: World, s: State, stream: Index, visit: Visit<State>): void {
  if (s.page.phase < phases.connected) return
  const index = (s.page.phase - phases.connected) as Index
  const session = s.page.session[stream]
  const last = s.bridges[index].last[stream]
  // The first number that the ring holds, or would hold.
  const first = Math.max(s.bridges[index].start[stream], last - world.ringLength) + 1
  if (session === sessions.apart) {
    const label = `bridge ${index + 1} joins the session to the live set of ${formatStream(stream)}`
    visit.step(label, enterSession(s, stream, sessions.live, visit))
  } else if (session === sessions.waiting) {
    const ring: Ring = { index, stream, first, last }
    if (s.page.position[stream] > last) visitAhead(world, s, ring, visit)
    else visitGap(world, s, ring, visit)
  }
}

/** What a bridge holds of a stream. */
interface Ring {
  readonly index: Index
  readonly stream: Index
  readonly first: number
  readonly last: number
}

/** The page is ahead of the bridge: it has to wait, unless the bridge is one of those that do not let it. */
function visitAhead(world: World, s: State, { index, stream, first, last }: Ring, visit: Visit<State>): void {
  visit.reaches('a page waits for a bridge behind it')
  const at = `bridge ${index + 1} at ${formatRow(stream, last)}`
  if (world.has('behind: sends its ring')) {
    const frame: Frame = { index, stream, after: first - 1, to: last, first }
    visit.step(`${at} sends its ring`, sendFrame(world, s, frame, visit))
  }
  if (world.has('behind: says bridged')) {
    visit.step(`${at} says bridged`, enterSession(s, stream, sessions.live, visit))
  }
}

/** The bridge has come as far as the page: what lies between comes from the ring, from the feed, or not at all. */
function visitGap(world: World, s: State, { index, stream, first, last }: Ring, visit: Visit<State>): void {
  const after = s.page.position[stream]
  const who = `bridge ${index + 1}`
  const slack = world.has('ring one too lenient') ? 2 : world.has('ring one too strict') ? 0 : 1
  if (after >= first - slack) {
    if (after < last) visit.reaches('a gap is bridged from the ring')
    const isSplit = world.has('waits between ring and live set')
    const sent = sendFrame(world, s, { index, stream, after, to: last, first }, visit)
    const joined = enterSession(sent, stream, isSplit ? sessions.apart : sessions.live, visit)
    visit.step(`${who} bridges ${formatStream(stream)} (${after}, ${last}]`, joined)
  } else if (world.beyondRing === 'feed') {
    visit.reaches('a gap is bridged from the feed')
    const to = s.head[stream]
    const sent = sendFrame(world, s, { index, stream, after, to, isFeed: true }, visit)
    // The session goes on waiting: the ring is looked at again, in the step that makes it live.
    const next = world.has('joins after the feed') ? enterSession(sent, stream, sessions.apart, visit) : sent
    visit.step(`${who} sends the feed of ${formatStream(stream)} (${after}, ${to}]`, next)
  } else {
    const label = `${who} says refresh to a page at ${formatRow(stream, after)}; its ring holds ${first} to ${last}`
    if (after >= first - 1) visit.breaks(bridgeInvariants.neededRefresh, label)
    visit.reaches('a page is told to refresh')
    visit.step(label, { ...s, page: refresh(world, s.page) })
  }
}

/** All is committed, the page is live, and its bridge has everything. */
function visitRest(world: World, { page, head, bridges }: State, visit: Visit<State>): void {
  if (page.phase < phases.connected) return
  const { last } = bridges[page.phase - phases.connected]!
  const isQuiet = (stream: Index): boolean =>
    head[stream] === world.length[stream] &&
    last[stream] === head[stream] &&
    page.session[stream] === sessions.live
  if (!both.every(isQuiet)) return
  visit.rests()
  const service = versionsAt(world, head)
  if (page.shown.some((version, resource) => version !== service[resource])) {
    const detail = `at rest the page shows versions ${page.shown}, and the service has ${service}`
    visit.breaks(bridgeInvariants.converges, detail)
  }
}

function replaceBridge(s: State, index: Index, bridge: Bridge): State {
  return { ...s, bridges: index === 0 ? [bridge, s.bridges[1]] : [s.bridges[0], bridge] }
}
