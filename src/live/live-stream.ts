/**
 * One stream as the bridge has it: its backlog, who follows it, and what each of them is told.
 *
 * Between looking at the backlog and joining those who are live nothing is awaited. Where a page is slow nothing is queued for it: it leaves the
 * live ones with its position and comes back by it. Where the changes come from is stream-keeper.ts. PROTOCOL.md §9.6, §9.7.
 */
import { isLockstepError, type Position } from '../contract/index.ts'
import { Backlog, type BacklogLimits, type Entry } from './backlog.ts'
import {
  buildFrame,
  type Channel,
  createChannel,
  cutInterval,
  type Outlet,
  type Part,
  type Seat,
} from './channel.ts'
import type { Counters } from './counters.ts'
import type { Fills } from './fills.ts'
import { formatHold, formatLive, formatRefresh } from './frame.ts'
import { Parcel } from './parcel.ts'
import { decide, type HoldReason, type RefreshReason, type SeatLimits } from './seat.ts'
import type { View } from './view.ts'

export interface LiveStreamOptions {
  readonly name: string
  readonly fills: Fills
  readonly limits: SeatLimits & { readonly conflateFrom: number }
  readonly backlog: Partial<BacklogLimits>
  readonly bookmarkEveryMs: number
  readonly counters: Counters
  readonly now: () => number
  readonly random: () => number
  /** Asks the feed where the stream is, with a read that begins now or later. */
  readonly ask: () => void
  readonly onError: (error: unknown) => void
}

/** Catch-up frames that are kept for the next page with the same gap. */
const maxKeptParcels = 64

export class LiveStream {
  readonly name: string
  readonly backlog: Backlog
  readonly #options: LiveStreamOptions
  readonly #channels = new Map<string, Channel>()
  /** The channels by each path that they follow. */
  readonly #channelsAt = new Map<string, Set<Channel>>()
  readonly #waiting = new Set<Seat>()
  readonly #dirty = new Set<Channel>()
  readonly #kept = new Map<string, Parcel>()
  readonly #cuts = new Map<string, readonly Part[]>()
  #isFlushing = false
  #isSound = false
  /** The first number of the change log, as the feed said. */
  first = 1
  /** How many reads of the feed have begun. */
  reads = 0
  /** The last of them that has led to the head: all that was there when it began has been heard of. */
  proofs = 0

  constructor(options: LiveStreamOptions) {
    this.name = options.name
    this.backlog = new Backlog(options.backlog)
    this.#options = options
  }

  /** Is all that the bridge has surely all that there is, give or take what is on its way? */
  get isSound(): boolean {
    return this.#isSound
  }

  /** Pages that wait for something. */
  get waiting(): number {
    return this.#waiting.size
  }

  get channels(): number {
    return this.#channels.size
  }

  /** Gives a page its place; `position` is `undefined` for one that begins now. */
  seat(outlet: Outlet, view: View, position: Position | undefined): Seat {
    const channel = this.#channelOf(view)
    channel.seats += 1
    const seat: Seat = {
      outlet,
      channel,
      epoch: position?.epoch,
      seq: position?.seq ?? 0,
      sinceMs: this.#options.now(),
      proofs: this.reads,
      phase: 'waiting',
      held: undefined,
    }
    this.place(seat)
    return seat
  }

  /** The page follows the stream no more. */
  leave(seat: Seat): void {
    if (seat.phase === 'ended') return
    const { channel } = seat
    seat.phase = 'ended'
    channel.members.delete(seat)
    this.#waiting.delete(seat)
    channel.seats -= 1
    if (channel.seats === 0) this.#forget(channel)
  }

  /** The page takes no more for now: it keeps its position, and {@link place} brings it back. */
  suspend(seat: Seat): void {
    this.#waiting.delete(seat)
    if (seat.phase !== 'live') return
    seat.phase = 'waiting'
    seat.epoch = this.backlog.epoch
    seat.seq = seat.channel.told
    this.#arrive(seat)
    seat.channel.members.delete(seat)
  }

  /** Looks where the page is and does what follows from it. */
  place(seat: Seat): void {
    if (seat.phase !== 'waiting' || !seat.outlet.isOpen) return
    this.#waiting.delete(seat)
    const { epoch, start, last } = this.backlog
    const holding = { epoch, start, last, first: this.first, proofs: this.proofs }
    const move = decide(seat, holding, this.#options.limits, this.#options.now())
    if (move.kind === 'join') this.#join(seat)
    else if (move.kind === 'fill') this.#fill(seat)
    else if (move.kind === 'refresh') this.#refresh(seat, move.reason)
    else {
      this.#hold(seat, move.reason)
      if (move.asks) this.#options.ask()
    }
  }

  /** Tells what is new at the end of the backlog, with all else that comes in the same turn. */
  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      // The resource's own path and all above it, from the longest to the shortest.
      for (let end = entry.resource.length; end > 0; end = entry.resource.lastIndexOf('/', end - 1)) {
        const channels = this.#channelsAt.get(entry.resource.slice(0, end))
        if (channels !== undefined) for (const channel of channels) this.#expect(channel, entry)
      }
    }
    if (entries.length > 0) this.wake()
  }

  /** Lets flush and waiting pages have their turn, once for all that happens now. */
  wake(): void {
    if (this.#isFlushing || (this.#dirty.size === 0 && this.#waiting.size === 0)) return
    this.#isFlushing = true
    setImmediate(() => {
      this.#isFlushing = false
      for (const channel of this.#dirty) this.#flush(channel)
      this.#dirty.clear()
      for (const seat of [...this.#waiting]) this.place(seat)
    })
  }

  /** The history begins anew, or at another place: everyone is looked at again. */
  restart(epoch: string, seq: number): void {
    for (const channel of this.#channels.values()) {
      for (const seat of [...channel.members]) {
        this.suspend(seat)
        // Whatever the feed says from now on is about the new history.
        seat.proofs = -1
        this.#waiting.add(seat)
      }
    }
    this.backlog.restart(epoch, seq)
    this.#kept.clear()
    this.#cuts.clear()
    this.#dirty.clear()
    for (const channel of this.#channels.values()) {
      channel.told = seq
      channel.pending = []
    }
  }

  /** Tells pages whether the bridge knows all. */
  setSound(isSound: boolean): void {
    if (isSound === this.#isSound) return
    this.#isSound = isSound
    const parcel = new Parcel([this.#status()])
    for (const { members } of this.#channels.values()) {
      for (const { outlet } of members) outlet.send(parcel)
    }
  }

  /** To be called about once a second: bookmarks for quiet channels, another look at those who wait. */
  tick(): void {
    const now = this.#options.now()
    const { epoch, last } = this.backlog
    this.#kept.clear()
    this.#cuts.clear()
    for (const channel of this.#channels.values()) {
      if (now < channel.bookmarkAtMs || epoch === undefined) continue
      channel.bookmarkAtMs = now + this.#options.bookmarkEveryMs
      if (channel.told === last || channel.pending.length > 0) continue
      const { text } = buildFrame(channel.view, epoch, channel.told, {
        to: last,
        entries: [],
        isConflated: false,
      })
      channel.told = last
      this.#tell(channel, new Parcel([text]))
    }
    this.wake()
  }

  #join(seat: Seat): void {
    const { channel } = seat
    const { backlog } = this
    const { last } = backlog
    // Those who are live already get what waits for them first: the new one gets it with its own interval.
    if (channel.pending.length > 0) this.#flush(channel)
    const isFromNow = seat.epoch === undefined
    if (isFromNow) {
      seat.epoch = backlog.epoch
      seat.seq = last
    }
    const isThere = seat.seq === last && !isFromNow
    if (!isThere && !this.#catchUp(seat, backlog.after(seat.seq), last, true)) return
    seat.held = undefined
    if (isThere) {
      this.#enter(seat)
      seat.outlet.send(new Parcel([this.#status()]))
    }
  }

  #enter(seat: Seat): void {
    const { channel } = seat
    if (channel.members.size === 0) channel.told = this.backlog.last
    seat.phase = 'live'
    channel.members.add(seat)
  }

  /** Sends an interval from the page's position on; `false` where the page takes no more before its end. */
  #catchUp(seat: Seat, entries: readonly Entry[], to: number, entersThen: boolean): boolean {
    const { outlet } = seat
    const parts = this.#partsOf(seat.seq, to, entries)
    for (const [index, part] of parts.entries()) {
      const isLast = index === parts.length - 1
      const parcel = this.#parcelOf(seat, part, isLast && entersThen)
      seat.seq = part.to
      if (isLast && entersThen) this.#enter(seat)
      outlet.send(parcel)
      if (!isLast && !outlet.isOpen) return false
    }
    return true
  }

  /** Those who come with the same gap are given the same parts. */
  #partsOf(after: number, to: number, entries: readonly Entry[]): readonly Part[] {
    const key = `${after}-${to}`
    const kept = this.#cuts.get(key)
    if (kept !== undefined) return kept
    const parts = cutInterval(entries, to, this.#options.limits.conflateFrom)
    if (this.#cuts.size >= maxKeptParcels) this.#cuts.clear()
    this.#cuts.set(key, parts)
    return parts
  }

  #parcelOf({ channel, epoch, seq }: Seat, part: Part, isLive: boolean): Parcel {
    const status = isLive ? this.#status() : ''
    const key = `${seq}-${part.to} ${status} ${channel.view.key}`
    const kept = this.#kept.get(key)
    if (kept !== undefined) return kept
    const { text, messages } = buildFrame(channel.view, epoch!, seq, part)
    const parcel = new Parcel(isLive ? [text, status] : [text], messages)
    if (this.#kept.size >= maxKeptParcels) this.#kept.clear()
    this.#kept.set(key, parcel)
    return parcel
  }

  #fill(seat: Seat): void {
    seat.phase = 'filling'
    this.#options.counters.fills += 1
    this.#options.fills.read(seat.epoch!, seat.seq, this.first).then(
      page => {
        if (seat.phase !== 'filling') return
        seat.phase = 'waiting'
        this.backlog.hint(page.epoch, page.head)
        this.first = Math.max(this.first, page.first)
        if (!seat.outlet.isOpen) return
        const entries = page.entries.filter(({ seq }) => seq > seat.seq)
        // The feed may be ahead of the backlog: from this place on it has its time anew.
        this.#arrive(seat)
        if (this.#catchUp(seat, entries, page.to, false)) this.place(seat)
      },
      error => {
        if (seat.phase !== 'filling') return
        seat.phase = 'waiting'
        if (isLockstepError(error, 'position-gone')) this.#refresh(seat, 'gone')
        else if (isLockstepError(error, 'message-too-large')) this.#refresh(seat, 'too-far')
        else {
          // Tried again with the next tick.
          this.#options.onError(error)
          this.#hold(seat, 'source')
        }
      },
    )
  }

  #arrive(seat: Seat): void {
    seat.sinceMs = this.#options.now()
    seat.proofs = this.reads
  }

  #hold(seat: Seat, reason: HoldReason): void {
    this.#waiting.add(seat)
    if (seat.held === reason) return
    seat.held = reason
    this.#options.counters.holds += 1
    seat.outlet.send(new Parcel([formatHold(this.name, reason)]))
  }

  #refresh(seat: Seat, reason: RefreshReason): void {
    const { epoch, last } = this.backlog
    const marker = epoch === undefined ? undefined : { stream: this.name, epoch, seq: last }
    this.#options.counters.refreshes[reason] += 1
    this.leave(seat)
    seat.outlet.send(new Parcel([formatRefresh(this.name, reason, marker)]))
  }

  /** A live page sees whatever the bridge gets; whether that is all is said apart. */
  #status(): string {
    return this.#isSound ? formatLive(this.name) : formatHold(this.name, 'source')
  }

  #expect(channel: Channel, entry: Entry): void {
    if (channel.members.size === 0 || channel.pending.at(-1) === entry) return
    channel.pending.push(entry)
    this.#dirty.add(channel)
  }

  #flush(channel: Channel): void {
    const { pending } = channel
    const { epoch, last } = this.backlog
    channel.pending = []
    if (pending.length === 0 || epoch === undefined) return
    const frames: string[] = []
    let messages = 0
    let after = channel.told
    for (const part of cutInterval(pending, last, this.#options.limits.conflateFrom)) {
      const frame = buildFrame(channel.view, epoch, after, part)
      frames.push(frame.text)
      messages += frame.messages
      after = part.to
    }
    // Only what these pages may not see has changed: the next frame covers it.
    if (messages === 0) return
    channel.told = last
    this.#tell(channel, new Parcel(frames, messages))
  }

  #tell(channel: Channel, parcel: Parcel): void {
    for (const { outlet } of channel.members) outlet.send(parcel)
  }

  #channelOf(view: View): Channel {
    const known = this.#channels.get(view.key)
    if (known !== undefined) return known
    const bookmarkAtMs = this.#options.now() + this.#options.random() * this.#options.bookmarkEveryMs
    const channel = createChannel(view, this.backlog.last, bookmarkAtMs)
    this.#channels.set(view.key, channel)
    for (const { path } of view.follows) {
      const others = this.#channelsAt.get(path)
      if (others === undefined) this.#channelsAt.set(path, new Set([channel]))
      else others.add(channel)
    }
    return channel
  }

  #forget(channel: Channel): void {
    this.#channels.delete(channel.view.key)
    this.#dirty.delete(channel)
    for (const { path } of channel.view.follows) {
      const channels = this.#channelsAt.get(path)
      channels?.delete(channel)
      if (channels?.size === 0) this.#channelsAt.delete(path)
    }
  }
}
