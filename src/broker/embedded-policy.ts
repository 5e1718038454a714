/**
 * Who may do what on the embedded broker.
 *
 * Without credentials one may subscribe and not publish: the topics of a mirror belong to its services, and a
 * stranger must not be able to fool followers. With a publisher's name and password one may publish too. Topics
 * that begin with `$` are nobody's. Where readers are named, nobody else comes in. Each client's part of memory is bounded.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { AedesOptions, AuthenticateError, Client } from 'aedes'
import { isTopicFilter, LockstepError, quote } from '../contract/index.ts'
import type { ReportError } from './report-error.ts'
import type { RetainedMessages } from './retained-messages.ts'

export interface EmbeddedPolicyOptions {
  /** Passwords by user name. */
  readonly publishers: Readonly<Record<string, string>>
  /** Passwords by user name of those who may only subscribe. */
  readonly readers: 'anyone' | Readonly<Record<string, string>>
  readonly maxSubscriptions: number
  readonly maxFilterChars: number
  readonly retained: RetainedMessages<Buffer>
  readonly report: ReportError
}

/** What is remembered of a client while it is connected. */
interface Visitor {
  mayPublish: boolean
  filterChars: number
  readonly filters: Set<string>
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

export function createEmbeddedPolicy(options: EmbeddedPolicyOptions): Policy {
  const { report, retained, readers } = options
  const isPublisher = createPasswordCheck(options.publishers)
  const isReader = createPasswordCheck(readers === 'anyone' ? {} : readers)
  const visitors = new WeakMap<object, Visitor>()

  return {
    preConnect(_client, packet, callback) {
      packet.clean = true
      // Without a namespace of its own, a stranger could throw a service out by its client id.
      if (packet.clientId !== '') packet.clientId = `${ownerOf(packet.username)}:${packet.clientId}`
      if (packet.username === undefined || !isPublisher(packet.username, packet.password)) delete packet.will
      callback(null, true)
    },

    authenticate(client, username, password, done) {
      const mayPublish = username !== undefined && isPublisher(username, password)
      const mayRead =
        username === undefined ? readers === 'anyone' : mayPublish || isReader(username, password)
      if (!mayRead) {
        const who =
          username === undefined
            ? 'no user name'
            : `the user name ${quote(username)} with a wrong password, or it is not known`
        const text = `A client at ${addressOf(client)} was refused: it gave ${who}.`
        report(new LockstepError('broker-refused', text), { stage: 'embedded broker login' })
        done(loginError(username === undefined ? notAuthorized : badCredentials), null)
        return
      }
      visitors.set(client, { mayPublish, filterChars: 0, filters: new Set() })
      done(null, true)
    },

    authorizePublish(client, packet, callback) {
      const mayPublish = client !== null && visitors.get(client)?.mayPublish === true
      if (!mayPublish || packet.topic.startsWith('$') || packet.topic.includes('\u0000')) {
        const why = mayPublish ? 'this topic is nobody’s' : 'it connected without a publisher’s credentials'
        const text = `A client at ${addressOf(client)} tried to publish to ${quote(packet.topic)} and was disconnected: ${why}.`
        const error = new LockstepError('broker-refused', text)
        report(error, { stage: 'embedded broker publish' })
        callback(error)
        return
      }
      if (packet.retain) keep(packet.topic, packet.payload)
      callback(null)
    },

    authorizeSubscribe(client, subscription, callback) {
      // Aedes ends an UNSUBSCRIBE one turn later; a SUBSCRIBE to the same filter must not overtake it.
      setImmediate(() => {
        const granted = grant(visitors.get(client), subscription.topic)
        callback(null, granted ? subscription : null)
      })
    },

    forget(client, filters) {
      const visitor = visitors.get(client)
      if (visitor === undefined) return
      for (const filter of filters) {
        if (visitor.filters.delete(filter)) visitor.filterChars -= filter.length
      }
    },
  }

  function grant(visitor: Visitor | undefined, filter: string): boolean {
    if (visitor === undefined || filter.startsWith('$') || !isTopicFilter(filter)) return false
    if (visitor.filters.has(filter)) return true
    if (visitor.filters.size >= options.maxSubscriptions) return false
    if (visitor.filterChars + filter.length > options.maxFilterChars) return false
    visitor.filters.add(filter)
    visitor.filterChars += filter.length
    return true
  }

  function keep(topic: string, payload: string | Buffer): void {
    const bytes = Buffer.from(payload)
    if (retained.set(topic, bytes.length === 0 ? undefined : bytes)) return
    const text = `The message to ${quote(topic)} was delivered and not retained: there are too many retained topics. Raise limits.maxRetained.`
    report(new LockstepError('overloaded', text), { stage: 'embedded broker retain' })
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

function loginError(returnCode: number): AuthenticateError {
  return Object.assign(new Error('the login was refused'), { returnCode })
}

function addressOf(client: Client | null): string {
  const conn = client?.conn
  return conn !== undefined && 'remoteAddress' in conn
    ? `${conn.remoteAddress ?? 'a closed socket'}`
    : 'unknown'
}
