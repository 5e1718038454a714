/**
 * The model of a restored backup: rows that were published and are lost, new rows under the same numbers and versions.
 *
 * The service writes `before`, which the backup holds, and `lost`, which it does not; some time after it is set back to
 * the backup, and writes `after`. The broker loses, repeats, reorders, and still has messages and the retained head of
 * the old epoch, which may be heard at any time. Numbers are given in the transaction. PROTOCOL.md §6.5, §7.5.
 */
import type { Model, Visit } from './explore.ts'
import {
  formatHeld,
  formatRow,
  pairIn,
  patch,
  resourceCount,
  shownOf,
  valueIn,
  versionIn,
  withResource,
} from './history.ts'
import {
  countOf,
  createWorld,
  epochOf,
  hasLostRow,
  headOf,
  heldBy,
  isSubscribed,
  keyOf,
  one,
  phases,
  placeOf,
  positionAt,
  type RestoreScope,
  restoreInvariants,
  type State,
  type World,
} from './restore-world.ts'

export function createRestoreModel(scope: RestoreScope): Model<State> {
  const { losses, repeats } = scope
  const world = createWorld(scope)
  return {
    initial: {
      committed: 0,
      published: 0,
      isRestored: false,
      isRenewed: false,
      renewedAt: 0,
      losses,
      repeats,
      inFlight: 0,
      buffer: 0,
      phase: phases.new,
      answerEpoch: 0,
      answerMarker: 0,
      answer: 0,
      epoch: 0,
      position: 0,
      copy: 0,
    },
    key: keyOf,
    visit(state, visit) {
      visitService(world, state, visit)
      visitRelay(world, state, visit)
      visitBaseline(world, state, visit)
      visitBroker(world, state, visit)
      visitRest(world, state, visit)
    },
  }
}

function visitService(world: World, s: State, { step, reaches }: Visit<State>): void {
  const { rows, backupAt, afterAt, without } = world
  const place = s.committed + (s.isRestored ? afterAt : 0)
  if (place < (s.isRestored ? rows.length : afterAt)) {
    step(`commit ${headOf(world, s) + 1}: ${formatRow(rows[place]!)}`, { ...s, committed: s.committed + 1 })
  }
  const renew = (state: State): State => {
    const inFlight = isSubscribed(s) && without !== 'no reset' ? s.inFlight + one(rows.length) : s.inFlight
    return { ...state, isRenewed: true, renewedAt: state.committed, published: 0, inFlight }
  }
  if (!s.isRestored && s.committed > backupAt) {
    if (s.epoch !== 0) {
      const holds = hasLostRow(world, s.copy)
      reaches(holds ? 'the follower holds a lost row' : 'the follower holds no lost row')
      if (s.position > backupAt) reaches('the follower is ahead of the backup')
    }
    const restored: State = { ...s, isRestored: true, committed: 0, published: backupAt }
    const isRenewed = without !== 'epoch stays' && without !== 'epoch renewed late'
    step(`RESTORE the backup of row ${backupAt}`, isRenewed ? renew(restored) : restored)
  }
  if (s.isRestored && !s.isRenewed && without === 'epoch renewed late') step('renew the epoch', renew(s))
}

function visitRelay(world: World, s: State, { step }: Visit<State>): void {
  if (s.published >= headOf(world, s)) return
  const seq = s.published + 1
  const inFlight = isSubscribed(s) ? s.inFlight + one(placeOf(world, s, seq)) : s.inFlight
  const name = `${epochOf(s)}:${seq}`
  step(`publish ${name}`, { ...s, published: seq, inFlight })
  if (s.repeats > 0) step(`publish ${name}, crash before marking`, { ...s, inFlight, repeats: s.repeats - 1 })
}

function visitBaseline(world: World, s: State, visit: Visit<State>): void {
  const { step } = visit
  if (s.phase === phases.new) step('subscribe', { ...s, phase: phases.wantsBaseline })
  if (s.phase === phases.wantsBaseline) {
    const [answerEpoch, answerMarker] = [epochOf(s), headOf(world, s)]
    const answer = shownOf(heldBy(world, s))
    const label = `GET: marker ${answerEpoch}:${answerMarker}`
    step(label, { ...s, phase: phases.baselineOnItsWay, answerEpoch, answerMarker, answer })
  }
  if (s.phase === phases.baselineOnItsWay)
    step('take the baseline, then what was kept', takeBaseline(world, s, visit))
}

/** Makes the copy what the baseline says; in another epoch nothing of it stays. PROTOCOL.md §6.5, §6.8. */
function takeBaseline(world: World, s: State, visit: Visit<State>): State {
  const { answerEpoch: epoch, answerMarker: marker, answer, buffer } = s
  const isSameEpoch = s.epoch === epoch
  const rest: State = { ...s, answerEpoch: 0, answerMarker: 0, answer: 0 }
  if (isSameEpoch && marker < s.position) {
    visit.reaches('an answer that is older than the copy is ignored')
    return { ...rest, phase: phases.wantsBaseline }
  }
  let copy = answer
  for (let resource = 0; resource < resourceCount; resource++) {
    const held = versionIn(s.copy, resource)
    const isNewer = held > versionIn(answer, resource) && valueIn(answer, resource) !== 0
    if ((isSameEpoch || world.without === 'versions outlive the epoch') && isNewer) {
      copy = withResource(copy, resource, held, valueIn(s.copy, resource))
    }
  }
  let next: State = { ...rest, epoch, position: marker, copy, buffer: 0, phase: phases.live }
  if (s.epoch !== 0 && !isSameEpoch) visit.reaches('a baseline of another epoch replaces the copy')
  checkShown(world, next, visit, `taking the baseline ${epoch}:${marker}`)
  for (let place = 0; place <= world.rows.length; place++) {
    if (countOf(buffer, place) === 0) continue
    if (next.phase === phases.live) next = takeMessage(world, next, place, visit)
    else next = { ...next, buffer: next.buffer + one(place) }
  }
  return next
}

/** The broker delivers any message that is on its way, or loses it; heads are heard at any time, old ones too. */
function visitBroker(world: World, s: State, visit: Visit<State>): void {
  const { step } = visit
  for (let place = 0; place <= world.rows.length; place++) {
    if (countOf(s.inFlight, place) === 0) continue
    const rest: State = { ...s, inFlight: s.inFlight - one(place) }
    const { epoch, seq } = positionAt(world, s, place)
    const name = place === world.rows.length ? 'the reset' : `${epoch}:${seq}`
    if (s.losses > 0) step(`the broker loses ${name}`, { ...rest, losses: s.losses - 1 })
    if (s.phase === phases.live) step(`deliver ${name}`, takeMessage(world, rest, place, visit))
    else step(`deliver ${name}, kept`, { ...rest, buffer: s.buffer + one(place) })
  }
  if (s.phase !== phases.live) return
  step(
    `hear the head ${epochOf(s)}:${headOf(world, s)}`,
    takeHead(world, s, epochOf(s), headOf(world, s), visit),
  )
  if (s.isRestored) {
    visit.reaches('an old head is heard after the restore')
    step('hear the retained head of before the restore', takeHead(world, s, 1, world.afterAt, visit))
  }
}

function visitRest(world: World, s: State, visit: Visit<State>): void {
  const { rows, afterAt, without } = world
  if (!s.isRestored || s.committed < rows.length - afterAt || s.published < headOf(world, s)) return
  if (without === 'epoch renewed late' && !s.isRenewed) return
  if (s.inFlight !== 0 || s.phase !== phases.live) return
  if (takeHead(world, s, epochOf(s), headOf(world, s), visit) !== s) return
  visit.rests()
  const service = heldBy(world, s)
  const detail = `at rest the service has ${formatHeld(service)}; the follower ${formatHeld(s.copy)}`
  for (let resource = 0; resource < resourceCount; resource++) {
    if (valueIn(s.copy, resource) !== valueIn(service, resource))
      visit.breaks(restoreInvariants.converges, detail)
  }
  if (hasLostRow(world, s.copy)) visit.breaks(restoreInvariants.noLostRow, detail)
}

/** What the follower does with a message: PROTOCOL.md §6.2, §6.5. */
function takeMessage(world: World, s: State, place: number, visit: Visit<State>): State {
  const { rows, without } = world
  const { epoch, seq } = positionAt(world, s, place)
  const isReset = place === rows.length
  let next = s
  if (epoch !== s.epoch) {
    visit.reaches(
      epoch < s.epoch ? 'a message of the old epoch comes late' : 'a message of the new epoch comes',
    )
    if (without === 'epoch taken from messages') next = { ...s, epoch, position: isReset ? 0 : seq - 1 }
    else if (without !== 'epoch of messages not compared') return { ...s, phase: phases.wantsBaseline }
  }
  if (isReset) return { ...next, phase: phases.wantsBaseline }
  if (seq <= next.position) return next
  if (seq > next.position + 1) return readFeed(world, next, visit)
  const taken = applyRow(world, next, place, visit)
  return taken.phase === phases.live ? { ...taken, position: seq } : taken
}

/** What the follower does with a head: PROTOCOL.md §6.4, §6.5. */
function takeHead(world: World, s: State, epoch: number, seq: number, visit: Visit<State>): State {
  if (epoch !== s.epoch && world.without !== 'epoch of heads not compared') {
    return { ...s, phase: phases.wantsBaseline }
  }
  return seq > s.position ? readFeed(world, s, visit) : s
}

/** Reads the feed to its end: 410 for another epoch, and to wait where the position is ahead. PROTOCOL.md §5.7, §5.8. */
function readFeed(world: World, s: State, visit: Visit<State>): State {
  if (s.epoch !== epochOf(s) && world.without !== 'epoch of answers not compared') {
    visit.reaches('the feed says that the position is gone')
    return { ...s, phase: phases.wantsBaseline }
  }
  let next = s
  for (let seq = s.position + 1; seq <= headOf(world, s); seq++) {
    next = applyRow(world, next, placeOf(world, s, seq), visit)
    if (next.phase !== phases.live) return next
    next = { ...next, position: seq }
  }
  return next
}

/** What the follower does with a row for one resource: PROTOCOL.md §6.3. */
function applyRow(world: World, s: State, place: number, visit: Visit<State>): State {
  const row = world.rows[place]!
  const { resource, isWhole, changes } = row
  const held = versionIn(s.copy, resource)
  const base = valueIn(s.copy, resource)
  if (row.version <= held) return s
  let { version, value } = row
  if (!isWhole) {
    if (version === held + 1 && base !== 0) value = patch(base, changes)
    else {
      if (s.epoch !== epochOf(s) && world.without !== 'epoch of answers not compared') {
        visit.reaches('the resource is of another epoch')
        return { ...s, phase: phases.wantsBaseline }
      }
      const service = heldBy(world, s)
      version = versionIn(service, resource)
      value = valueIn(service, resource)
    }
  }
  const next: State = { ...s, copy: withResource(s.copy, resource, version, value) }
  checkShown(world, next, visit, `taking ${formatRow(row)}`)
  return next
}

function checkShown({ legal }: World, { copy, epoch }: State, visit: Visit<State>, what: string): void {
  for (let resource = 0; resource < resourceCount; resource++) {
    if (valueIn(copy, resource) === 0 || legal[epoch]![resource]!.has(pairIn(copy, resource))) continue
    visit.breaks(
      restoreInvariants.noInvention,
      `${what} the follower shows ${formatHeld(copy)} in epoch ${epoch}`,
    )
  }
}
