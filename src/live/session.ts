/**
 * One page's connection: from its hello to its end, whichever transport carries it.
 *
 * It keeps no queue. What a transport cannot take is not produced: the page's seats leave the live ones and come back by their positions.
 * PROTOCOL.md §9.
 */
import { isLockstepError, LockstepError, quote } from '../contract/index.ts'
import type { Access, Lease } from './access.ts'
import type { Outlet, Seat } from './channel.ts'
import { closeStatus, isReturning } from './close-status.ts'
import { type Counters, count } from './counters.ts'
import {
  formatClose,
  formatRefresh,
  formatTicket,
  formatWelcome,
  type Hello,
  parsePageFrame,
  pingFrame,
} from './frame.ts'
import type { LiveStream } from './live-stream.ts'
import { type Form, Parcel } from './parcel.ts'
import { toViews, type View } from './view.ts'

/** What a session needs of its transport. */
export interface Wire {
  readonly form: Form
  /** Bytes that the page has not taken yet. */
  readonly queuedBytes: number
  write(bytes: Buffer): void
  /** Runs what writes several times: small things go out together. */
  gather(writes: () => void): void
  /** Ends the connection with what was written, as far as the page takes it. */
  end(status: number, code: string): void
}

export interface SessionLimits {
  readonly helloWithinMs: number
  readonly pingEveryMs: number
  readonly deadAfterMs: number
  readonly maxQueuedBytes: number
  readonly slowMs: number
  readonly maxFramesPerSecond: number
}

/** What all sessions of a bridge share. */
export interface SessionHost {
  readonly streams: ReadonlyMap<string, { readonly stream: LiveStream }>
  readonly access: Access
  readonly limits: SessionLimits
  readonly counters: Counters
  now(): number
  random(): number
  retryAfterMs(): number
  onError(error: unknown): void
  onEnd(session: Session): void
}

/** Where a session comes from. */
export interface SessionOrigin {
  readonly address: string
  /** Who it is, where the application can tell. */
  readonly audience: string | undefined
}

const ping = new Parcel([pingFrame])
const noSeats: readonly Seat[] = []
/** After a question to `authorize` failed. */
const recheckAgainMs = 5_000

export class Session implements Outlet {
  readonly #host: SessionHost
  readonly #wire: Wire
  /** Who it is, where the application can tell. */
  readonly #audience: string | undefined
  /** Under which it is counted. */
  readonly address: string
  #phase: 'greeting' | 'checking' | 'open' | 'closed' = 'greeting'
  #seats: readonly Seat[] = noSeats
  #lease: Lease | undefined
  #isRenewing = false
  /** Which hello it is at: what an earlier one began is over. */
  #hellos = 0
  #frames = 0
  #heardMs: number
  #pingMs: number
  /** Since when it takes no more; 0 where it does. */
  #slowSinceMs = 0

  constructor(host: SessionHost, wire: Wire, { address, audience }: SessionOrigin) {
    this.#host = host
    this.#wire = wire
    this.address = address
    this.#audience = audience
    this.#heardMs = host.now()
    // Spread, so that pages which came together are not pinged together.
    this.#pingMs = this.#heardMs + host.limits.pingEveryMs * (0.5 + host.random() / 2)
  }

  get form(): Form {
    return this.#wire.form
  }

  get isOpen(): boolean {
    return this.#phase === 'open' && this.#slowSinceMs === 0
  }

  send(parcel: Parcel): void {
    if (this.#phase !== 'open') return
    // Between two looks at the lease nothing that it granted is delivered after its end.
    if (parcel.messages > 0 && this.#lease !== undefined && this.#host.now() >= this.#lease.untilMs) {
      this.#checkLease(this.#lease.untilMs)
      return
    }
    const { counters } = this.#host
    const bytes = parcel.bytes(this.#wire.form)
    counters.sends += 1
    counters.messages += parcel.messages
    counters.bytes += bytes.length
    this.#wire.write(bytes)
    this.#checkQueue()
  }

  /** Takes a frame of the page. */
  hear(text: string): void {
    if (this.#phase === 'closed') return
    try {
      this.heard()
      const frame = parsePageFrame(text)
      if (frame.type === 'hello') this.greet(frame)
      else if (frame.type === 'renew') this.#renew(frame.ticket)
    } catch (error) {
      this.fail(error)
    }
  }

  /** Notes a sign of life. Errors: `invalid-frame` for too many in a second. */
  heard(): void {
    this.#heardMs = this.#host.now()
    this.#frames += 1
    const { maxFramesPerSecond } = this.#host.limits
    if (this.#frames <= maxFramesPerSecond) return
    throw new LockstepError(
      'invalid-frame',
      `The page sent over ${maxFramesPerSecond} frames within a second.`,
    )
  }

  /** Begins, or begins anew. */
  greet(hello: Hello): void {
    this.#leave()
    this.#phase = 'checking'
    this.#hellos += 1
    const turn = this.#hellos
    this.#host.access.admit(hello, this.#audience).then(
      lease => {
        if (this.#phase !== 'checking' || turn !== this.#hellos) return
        try {
          this.#wire.gather(() => this.#open(hello, lease))
          this.#checkQueue()
        } catch (error) {
          this.fail(error)
        }
      },
      error => {
        if (turn === this.#hellos) this.fail(error)
      },
    )
  }

  /** The transport has passed on all that was written. */
  drained(): void {
    if (this.#slowSinceMs === 0) return
    this.#slowSinceMs = 0
    for (const seat of this.#seats) this.#streamOf(seat).place(seat)
  }

  /** The connection is gone. Idempotent. */
  gone(): void {
    if (this.#phase === 'closed') return
    this.#leave()
    this.#phase = 'closed'
    this.#host.onEnd(this)
  }

  /** Ends the connection because of an error, which the page is told. Idempotent. */
  fail(error: unknown): void {
    if (this.#phase === 'closed') return
    if (!isLockstepError(error)) this.#host.onError(error)
    const code = isLockstepError(error) ? error.code : 'internal'
    const status = closeStatus(code)
    const detail = isLockstepError(error)
      ? error.message
      : 'The bridge has logged the error. Come back shortly.'
    const retryAfterMs = isReturning(status) ? this.#host.retryAfterMs() : undefined
    count(this.#host.counters.closed, code)
    if (this.#slowSinceMs === 0) {
      this.#wire.write(
        new Parcel([formatClose({ status, code, detail, retryAfterMs })]).bytes(this.#wire.form),
      )
    }
    this.gone()
    this.#wire.end(status, code)
  }

  /** To be called about once a second: everything that has a time. */
  tick(nowMs: number): void {
    const { limits } = this.#host
    this.#frames = 0
    const silentMs = nowMs - this.#heardMs
    if (this.#phase === 'greeting') {
      if (silentMs > limits.helloWithinMs) this.fail(timeout('The page sent no hello', limits.helloWithinMs))
      return
    }
    if (this.#wire.form === 'websocket' && silentMs > limits.deadAfterMs) {
      this.fail(timeout('The page was silent', limits.deadAfterMs))
    } else if (this.#slowSinceMs > 0 && nowMs - this.#slowSinceMs > limits.slowMs) {
      this.fail(
        new LockstepError(
          'too-slow',
          `The page took nothing for ${limits.slowMs / 1_000} s. Come back with the marker.`,
        ),
      )
    } else if (this.#phase === 'open') {
      this.#checkLease(nowMs)
      if (nowMs < this.#pingMs || this.#slowSinceMs > 0) return
      this.#pingMs = nowMs + limits.pingEveryMs
      this.send(ping)
    }
  }

  /** Looks at the lease now, where it is that of this audience. */
  recheck(audience: string | undefined): void {
    if (this.#phase !== 'open' || !this.#host.access.canRecheck) return
    if (audience === undefined || audience === this.#lease?.audience) this.#renew(undefined)
  }

  #open(hello: Hello, lease: Lease): void {
    const { streams, limits } = this.#host
    const { pingEveryMs, deadAfterMs } = limits
    const views = toViews(lease.follow)
    for (const { stream } of views) {
      if (!streams.has(stream)) {
        throw new LockstepError(
          'not-found',
          `This bridge has no stream ${quote(stream)}. Follow what it has.`,
        )
      }
    }
    this.#phase = 'open'
    this.#lease = lease
    this.send(new Parcel([formatWelcome({ pingEveryMs, deadAfterMs, leaseMs: this.#leaseMs() })]))
    // Of exactly its length: an array that is pushed to has room for many more.
    this.#seats = views.flatMap(view => this.#seat(view, hello)).slice()
    // The same texts for all pages that follow the same, where there is a reason to keep them at all.
    const follow = this.#seats.flatMap(seat => seat.channel.view.follows)
    this.#lease = this.#host.access.isLeased ? { ...lease, follow } : undefined
    // It may have ended while it was seated: with its lease.
    if (this.#phase !== 'open') this.#leave()
    else if (this.#slowSinceMs > 0) this.#suspend()
  }

  #seat(view: View, { positions, isFromNow }: Hello): readonly Seat[] {
    const { stream } = this.#host.streams.get(view.stream)!
    const position = positions.get(view.stream)
    if (position !== undefined || isFromNow) return [stream.seat(this, view, position)]
    this.#refuse(stream)
    return []
  }

  #refuse({ name, backlog }: LiveStream): void {
    this.#host.counters.refreshes.unmarked += 1
    const { epoch, last } = backlog
    const marker = epoch === undefined ? undefined : { stream: name, epoch, seq: last }
    this.send(new Parcel([formatRefresh(name, 'unmarked', marker)]))
  }

  #checkQueue(): void {
    const { now, limits } = this.#host
    if (this.#phase !== 'open' || this.#slowSinceMs > 0) return
    if (this.#wire.queuedBytes <= limits.maxQueuedBytes) return
    this.#slowSinceMs = now()
    this.#host.counters.slow += 1
    this.#suspend()
  }

  #suspend(): void {
    for (const seat of this.#seats) this.#streamOf(seat).suspend(seat)
  }

  #leave(): void {
    for (const seat of this.#seats) this.#streamOf(seat).leave(seat)
    this.#seats = noSeats
  }

  #streamOf(seat: Seat): LiveStream {
    return this.#host.streams.get(seat.channel.view.stream)!.stream
  }

  #leaseMs(): number | undefined {
    const untilMs = this.#lease?.untilMs ?? Number.POSITIVE_INFINITY
    return Number.isFinite(untilMs) ? Math.max(0, Math.round(untilMs - this.#host.now())) : undefined
  }

  #checkLease(nowMs: number): void {
    const lease = this.#lease
    if (lease === undefined) return
    if (nowMs >= lease.untilMs) {
      this.fail(
        this.#host.access.canRecheck
          ? new LockstepError(
              'overloaded',
              'It could not be found out whether the page may still follow. Come back shortly.',
            )
          : new LockstepError('ticket-expired', 'The ticket has expired and was not renewed.'),
      )
    } else if (nowMs >= lease.recheckAtMs) this.#renew(undefined)
  }

  #renew(ticket: string | undefined): void {
    const before = this.#lease
    if (this.#phase !== 'open' || this.#isRenewing || before === undefined) return
    const turn = this.#hellos
    this.#isRenewing = true
    this.#host.access
      .renew(before, ticket)
      .then(
        renewed => {
          if (this.#phase !== 'open' || turn !== this.#hellos) return
          this.#lease = renewed.lease
          this.send(new Parcel([formatTicket(renewed.ticket, this.#leaseMs() ?? 0)]))
        },
        error => {
          if (turn !== this.#hellos || this.#phase === 'closed') return
          if (isLockstepError(error) && error.code !== 'overloaded') {
            this.fail(error)
            return
          }
          // The lease stands until its end; the question is asked again.
          if (!isLockstepError(error)) this.#host.onError(error)
          this.#lease = { ...before, recheckAtMs: this.#host.now() + recheckAgainMs }
        },
      )
      .finally(() => {
        this.#isRenewing = false
      })
  }
}

function timeout(what: string, ms: number): LockstepError {
  return new LockstepError('timeout', `${what} for ${ms / 1_000} s. Come back with the marker.`)
}
