/**
 * The pages that are connected to a bridge: lets them in, looks after them once a second, and sends them away.
 */
import type { IncomingMessage } from 'node:http'
import { LockstepError } from '../contract/index.ts'
import type { Admission } from './admission.ts'
import type { BridgeOptions } from './bridge-options.ts'
import type { Clock } from './clock.ts'
import type { Counters } from './counters.ts'
import { checkOrigin, type Origins } from './origin.ts'
import { Session, type SessionHost, type Wire } from './session.ts'

export interface SessionTableOptions {
  readonly host: Omit<SessionHost, 'onEnd'>
  readonly admission: Admission
  readonly origins: Origins
  readonly audience: BridgeOptions['audience']
  readonly addressOf: BridgeOptions['addressOf']
  readonly counters: Counters
  readonly clock: Clock
}

/** How long pages have to take their last frame. */
const closeWithinMs = 3_000

export class SessionTable {
  readonly connections = { websocket: 0, events: 0 }
  readonly #options: SessionTableOptions
  readonly #host: SessionHost
  readonly #sessions = new Set<Session>()
  #onEmpty: (() => void) | undefined
  #isClosing = false

  constructor(options: SessionTableOptions) {
    this.#options = options
    this.#host = { ...options.host, onEnd: session => this.#forget(session) }
  }

  /** Lets a page in and makes its wire, or does not. Errors: `access-denied`, `overloaded`, `closed`. */
  async admit<W extends Wire>(
    request: IncomingMessage,
    makeWire: () => W,
  ): Promise<{ readonly session: Session; readonly wire: W }> {
    const { origins, admission, audience, addressOf, counters, clock } = this.#options
    this.#checkOpen()
    checkOrigin(request, origins)
    const address = admission.enter((addressOf ?? addressOfSocket)(request), clock.now())
    try {
      const who = audience && (await orGone(request, audience(request)))
      this.#checkOpen()
      const wire = makeWire()
      const session = new Session(this.#host, wire, { address, audience: who })
      this.#sessions.add(session)
      this.connections[wire.form] += 1
      counters.accepted += 1
      return { session, wire }
    } catch (error) {
      admission.leave(address)
      throw error
    }
  }

  tick(): void {
    const nowMs = this.#host.now()
    for (const session of this.#sessions) session.tick(nowMs)
  }

  recheck(audience: string | undefined): void {
    for (const session of this.#sessions) session.recheck(audience)
  }

  /** Sends all away with their markers; resolves when they are gone, or could not be told for a while. */
  async endAll(): Promise<void> {
    this.#isClosing = true
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#onEmpty = resolve
    for (const session of [...this.#sessions]) session.fail(closing())
    if (this.#sessions.size === 0) return
    const stop = this.#options.clock.setTimer(resolve, closeWithinMs)
    await promise
    stop()
  }

  #checkOpen(): void {
    if (this.#isClosing) throw closing()
  }

  #forget(session: Session): void {
    if (!this.#sessions.delete(session)) return
    this.connections[session.form] -= 1
    this.#options.admission.leave(session.address)
    if (this.#sessions.size === 0) this.#onEmpty?.()
  }
}

/** Who has gone meanwhile is not waited for, and takes nobody's place. Errors: `closed`. */
async function orGone<T>({ socket }: IncomingMessage, answer: T | Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const leave = (): void => reject(new LockstepError('closed', 'The page has gone before it was let in.'))
  if (socket.destroyed) leave()
  socket.once('close', leave)
  try {
    return await Promise.race([answer, promise])
  } finally {
    socket.off('close', leave)
  }
}

function closing(): LockstepError {
  return new LockstepError('closed', 'The bridge is closing. Connect again with the marker.')
}

/** Of an IPv6 address the half that a provider gives to one customer. */
function addressOfSocket({ socket }: IncomingMessage): string {
  const address = socket.remoteAddress ?? ''
  return address.includes(':') && !address.includes('.') ? address.split(':').slice(0, 4).join(':') : address
}
