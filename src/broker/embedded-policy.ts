/**
 * Who may do what on the embedded broker.
 *
 * Without credentials one may subscribe and not publish: the topics of a mirror belong to its services, and a
 * stranger must not be able to fool followers. With a publisher's name and password one may publish too. Topics
 * that begin with `$` are nobody's. Where readers are named, nobody else comes in; where rights are, they narrow all this to
 * topics. Each client's part of memory is bounded.
 */
import { createHash, randomUUID, timingSafeEqual } from 'node:crypto'
import type { AedesOptions, AuthenticateError, Client } from 'aedes'
import { isTopicFilter, LockstepError, quote, type ReportError } from '../contract/index.ts'
import type { Publisher } from './broker.ts'
import { mayPublish, mayRead, noRights, type TopicRights, type UserRights } from './embedded-rights.ts'
import type { RetainedMessages } from './retained-messages.ts'

export interface EmbeddedPolicyOptions {
  /** Passwords by user name. */
  readonly publishers: Readonly<Record<string, string>>
  /** Passwords by user name of those who may only subscribe. */
  readonly readers: 'anyone' | Readonly<Record<string, string>>
  /** Narrows what users may do to topics. */
  readonly rights: UserRights | undefined
  readonly maxSubscriptions: number
  readonly maxFilterChars: number
  readonly retained: RetainedMessages<Buffer>
  readonly report: ReportError
}

type Policy = Required<
  Pick<AedesOptions, 'preConnect' | 'authenticate' | 'authorizePublish' | 'authorizeSubscribe'>
> & {
  /** Is told which filters a client has given up. */
  forget(client: Client, filters: readonly string[]): void
}

/** CONNACK's return codes (MQTT 3.1.1 §3.2.2.3). */
const badCredentials = 4
const notAuthorized = 5

/** Makes Aedes' hooks. */
export function createEmbeddedPolicy(options: EmbeddedPolicyOptions): Policy {
  const { report, retained, readers, rights } = options
  const isPublisher = createPasswordCheck(options.publishers)
  const isReader = createPasswordCheck(readers === 'anyone' ? {} : readers)
  const visitors = new WeakMap<object, Visitor>()

  return {
    preConnect(_client, packet, callback) {
      packet.clean = true
      // Without a namespace of its own, a stranger could throw a service out by its client id.
      packet.clientId = `${ownerOf(packet.username)}:${packet.clientId || randomUUID()}`
      if (packet.username === undefined || !isPublisher(packet.username, packet.password)) delete packet.will
      callback(null, true)
    },

    authenticate(client, username, password, done) {
      const isItPublisher = username !== undefined && isPublisher(username, password)
      const isWelcome =
        username === undefined ? readers === 'anyone' : isItPublisher || isReader(username, password)
      if (isWelcome) {
        const general = { publish: isItPublisher ? ['#'] : [], read: ['#'] }
        const own = Object.hasOwn(rights ?? {}, username ?? '') ? rights?.[username ?? ''] : noRights
        visitors.set(client, new Visitor(rights === undefined ? general : narrow(general, own), options))
        done(null, true)
      } else {
        report(refusedLogin(client, username), { stage: 'embedded broker login' })
        done(loginError(username === undefined ? notAuthorized : badCredentials), null)
      }
    },

    authorizePublish(client, { topic, payload, retain }, callback) {
      const visitor = client === null ? undefined : visitors.get(client)
      if (visitor?.mayPublish(topic) !== true || topic.startsWith('$') || topic.includes('\u0000')) {
        const error = refusedMessage(client, topic, visitor?.isPublisher === true)
        report(error, { stage: 'embedded broker publish' })
        callback(error)
        return
      }
      const bytes = Buffer.from(payload)
      if (retain && !retained.set(topic, bytes.length === 0 ? undefined : bytes)) {
        report(notRetained(topic), { stage: 'embedded broker retain' })
      }
      callback(null)
    },

    authorizeSubscribe(client, subscription, callback) {
      // Aedes ends an UNSUBSCRIBE one turn later; a SUBSCRIBE to the same filter must not overtake it.
      setImmediate(() => {
        const isGranted = visitors.get(client)?.add(subscription.topic) === true
        callback(null, isGranted ? subscription : null)
      })
    },

    forget(client, filters) {
      visitors.get(client)?.remove(filters)
    },
  }
}

/** Who may publish nothing by their password may publish nothing by rights either. */
function narrow(general: TopicRights, own: TopicRights = noRights): TopicRights {
  return { publish: general.publish.length === 0 ? [] : own.publish, read: own.read }
}

/** What is remembered of a client while it is connected: its rights, and its filters within the limits. */
class Visitor {
  readonly #rights: TopicRights
  readonly #limits: Pick<EmbeddedPolicyOptions, 'maxSubscriptions' | 'maxFilterChars'>
  readonly #filters = new Set<string>()
  #filterChars = 0

  constructor(
    rights: TopicRights,
    limits: Pick<EmbeddedPolicyOptions, 'maxSubscriptions' | 'maxFilterChars'>,
  ) {
    this.#rights = rights
    this.#limits = limits
  }

  get isPublisher(): boolean {
    return this.#rights.publish.length > 0
  }

  mayPublish(topic: string): boolean {
    return mayPublish(this.#rights, topic)
  }

  /** May it have this filter? */
  add(filter: string): boolean {
    if (filter.startsWith('$') || !isTopicFilter(filter)) return false
    if (this.#filters.has(filter)) return true
    if (!mayRead(this.#rights, filter)) return false
    if (this.#filters.size >= this.#limits.maxSubscriptions) return false
    if (this.#filterChars + filter.length > this.#limits.maxFilterChars) return false
    this.#filters.add(filter)
    this.#filterChars += filter.length
    return true
  }

  remove(filters: readonly string[]): void {
    for (const filter of filters) {
      if (this.#filters.delete(filter)) this.#filterChars -= filter.length
    }
  }
}

/** Compares in a time that tells nothing of the password, nor whether the name is known. */
function createPasswordCheck(
  publishers: Readonly<Record<string, string>>,
): (username: string, password: Buffer | undefined) => boolean {
  const digests = new Map(Object.entries(publishers).map(([name, password]) => [name, digest(password)]))
  const nobody = digest('')
  return (username, password) => {
    const expected = digests.get(username)
    const same = timingSafeEqual(digest(password ?? ''), expected ?? nobody)
    return same && expected !== undefined
  }
}

function digest(text: string | Uint8Array): Buffer {
  return createHash('sha256').update(text).digest()
}

function ownerOf(username: string | undefined): string {
  return username === undefined ? 'anyone' : `publisher:${encodeURIComponent(username)}`
}

/** Who a client id, as made above, belongs to; `undefined` where there is none, as for this process itself. */
export function publisherOf(packet: object): Publisher | undefined {
  const id = 'clientId' in packet ? packet.clientId : undefined
  const [, name, clientId] =
    /^(?:publisher:([^:]*)|anyone):(.*)$/s.exec(typeof id === 'string' ? id : '') ?? []
  if (clientId === undefined) return undefined
  return { clientId, ...(name === undefined ? {} : { username: decodeURIComponent(name) }) }
}

function refusedLogin(client: Client, username: string | undefined): LockstepError {
  const gave =
    username === undefined
      ? 'no user name'
      : `the user name ${quote(username)}, which is not known or has another password`
  return new LockstepError('broker-refused', `A client at ${addressOf(client)} was refused: it gave ${gave}.`)
}

function refusedMessage(client: Client | null, topic: string, isPublisher: boolean): LockstepError {
  const why = isPublisher
    ? 'it has no right to publish there'
    : "it connected without a publisher's credentials"
  return new LockstepError(
    'broker-refused',
    `A client at ${addressOf(client)} tried to publish to ${quote(topic)} and was disconnected: ${why}.`,
  )
}

function notRetained(topic: string): LockstepError {
  return new LockstepError(
    'overloaded',
    `The message to ${quote(topic)} was delivered and not retained: there are too many retained topics. Raise limits.maxRetained.`,
  )
}

function loginError(returnCode: number): AuthenticateError {
  return Object.assign(new Error('the login was refused'), { returnCode })
}

function addressOf(client: Client | null): string {
  const conn = client?.conn
  return conn !== undefined && 'remoteAddress' in conn
    ? `${conn.remoteAddress ?? 'a closed socket'}`
    : 'unknown'
}
