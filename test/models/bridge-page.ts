/**
 * The page of the model in bridge.ts: how it is rendered from two baselines, connects, and takes frames in.
 */
import {
  type Bridge,
  both,
  bridgeInvariants,
  emptyPage,
  formatMarker,
  formatRow,
  type Index,
  nothing,
  type Page,
  type Pair,
  phases,
  type State,
  sessions,
  type Versions,
  versionsAt,
  type World,
  withNumber,
} from './bridge-world.ts'
import type { Visit } from './explore.ts'

/** An interval of a stream, and where the bridge takes it from. */
export interface Frame {
  /** The instance that sends it. */
  readonly index: Index
  readonly stream: Index
  readonly after: number
  readonly to: number
  /** The first number that the ring holds. */
  readonly first?: number
  /** It comes from the feed, which has no holes. */
  readonly isFeed?: boolean
}

/** The page server takes two baselines, the one after the other, and writes the marker into the page. */
export function visitRendering(world: World, s: State, visit: Visit<State>): void {
  const { page, head } = s
  const [a, b, c] = versionsAt(world, head)
  if (page.phase === phases.empty) {
    const half: Page = { ...page, phase: phases.half, shown: [a, 0, 0], position: [head[0], 0] }
    visit.step(`GET a: marker P:${head[0]}`, { ...s, page: half })
  }
  if (page.phase !== phases.half) return
  const first = page.position[0]
  if (first < head[0]) visit.reaches('the baselines are of different moments')
  const choose = world.has('maximum of markers') ? Math.max : Math.min
  const position: Pair = [choose(first, head[0]), head[1]]
  const shown: Versions = [page.shown[0], b, c]
  const isKept = world.has('refresh from a cache') || world.has('reconnects with the first marker')
  const html = isKept ? { position, shown } : undefined
  const rendered: Page = { ...page, phase: phases.rendered, shown, position, html }
  checkClaim(world, rendered, visit, 'the page is rendered')
  const label = `GET b and c: marker ${formatMarker(head)}; together ${formatMarker(position)}`
  visit.step(label, { ...s, page: rendered })
}

/** The page connects to an instance, or is cut off. */
export function visitConnection(world: World, s: State, { step }: Visit<State>): void {
  const { page } = s
  if (page.phase === phases.rendered) {
    for (const index of both) {
      if (!s.bridges[index].isStarted) continue
      const connected: Page = { ...page, phase: phases.connected + index }
      step(`connect to bridge ${index + 1} with ${formatMarker(page.position)}`, { ...s, page: connected })
    }
  }
  if (page.phase >= phases.connected && s.cuts > 0) {
    step('the socket breaks', { ...s, page: disconnect(world, page), cuts: s.cuts - 1 })
  }
}

function disconnect(world: World, page: Page): Page {
  const isReset = world.has('reconnects with the first marker')
  const position = isReset ? page.html!.position : page.position
  return { ...page, phase: phases.rendered, position, session: nothing }
}

/** The page begins again; a cache gives it what it had at first. */
export function refresh(world: World, page: Page): Page {
  if (!world.has('refresh from a cache')) return emptyPage
  return { ...page, ...page.html!, phase: phases.rendered, session: nothing }
}

/** Sends a frame with what the bridge has of it; the page takes it in. */
export function sendFrame(world: World, s: State, frame: Frame, visit: Visit<State>): State {
  const { index, stream, after, to, first = 1, isFeed = false } = frame
  const { page } = s
  const position = page.position[stream]
  const what = `bridge ${index + 1} sends (${after}, ${to}] to a page at ${formatRow(stream, position)}`
  if (after > position && !world.has('no check of after')) {
    visit.reaches('the page finds a hole between frames')
    return { ...s, page: disconnect(world, page) }
  }
  const bridge: Bridge = s.bridges[index]
  const shown: [number, number, number] = [...page.shown]
  for (let seq = Math.max(after + 1, first); seq <= to; seq++) {
    if (seq === bridge.lost[stream] && !isFeed) continue
    if (seq <= position) {
      visit.breaks(bridgeInvariants.noOldNews, what)
      continue
    }
    const { resource, version } = world.rows[stream]![seq - 1]!
    if (version <= shown[resource]) {
      visit.reaches('the page drops what it shows already')
      if (!world.has('no version check')) continue
      const again = `${what}; it shows ${'abc'[resource]} v${version} after v${shown[resource]}`
      visit.breaks(bridgeInvariants.monotonic, again)
    }
    shown[resource] = version
  }
  const reached = withNumber(page.position, stream, Math.max(position, to))
  const next: Page = { ...page, shown, position: reached }
  checkClaim(world, next, visit, what)
  return { ...s, page: next }
}

/** Whoever says to be at a position shows everything up to it. */
function checkClaim(world: World, { shown, position }: Page, visit: Visit<State>, what: string): void {
  if (versionsAt(world, position).every((version, resource) => shown[resource]! >= version)) return
  const detail = `${what}; it says ${formatMarker(position)} and shows versions ${shown}`
  visit.breaks(bridgeInvariants.noHole, detail)
}

/** Sets how far the session is; live is said only where the bridge has come as far as the page. */
export function enterSession(s: State, stream: Index, session: number, visit: Visit<State>): State {
  const { page, bridges } = s
  const index = (page.phase - phases.connected) as Index
  const last = bridges[index].last[stream]
  if (session === sessions.live && last < page.position[stream]) {
    const at = `${formatRow(stream, last)} says live to a page at ${page.position[stream]}`
    visit.breaks(bridgeInvariants.honest, `bridge ${index + 1} at ${at}`)
  }
  return { ...s, page: { ...page, session: withNumber(page.session, stream, session) } }
}
