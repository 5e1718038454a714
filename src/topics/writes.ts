/**
 * Devices write resources over MQTT: each message becomes a request to the service, and the answer a message.
 *
 * It decides nothing about resources: validation, conditions, idempotency and the change log are the service's, as for REST. A write counts when
 * its answer came; until then a device sends it again, with the same correlation. PROTOCOL.md §18.
 */
import type { Broker, Delivery, Publisher, Subscription } from '../broker/broker.ts'
import {
  checkCount,
  checkMethods,
  checkOptions,
  checkTopicPrefix,
  createErrorReport,
  isLockstepError,
  LockstepError,
  matchesTopicFilter,
  quote,
  type ReportError,
  toProblem,
} from '../contract/index.ts'
import { createTurns, type Turns } from './turns.ts'
import { createExchange, type WriteExchange, type WriteReply } from './write-exchange.ts'
import { type ReplyTo, readReplyTo, readWriteMessage } from './write-message.ts'
import { formatReply } from './write-reply.ts'
import { checkWritePrefix, parseWriteTopic, type WriteMethod, writeFilters } from './write-topic.ts'

/** A write before it is made. */
export interface MqttWrite {
  readonly method: WriteMethod
  /** Of a collection for POST, else of a resource. */
  readonly path: string
  readonly topic: string
  /** The level of the topic that stands for `{user}`. It is to be believed where the broker lets nobody else publish there. */
  readonly user?: string
  /** What the broker says of the publisher: the embedded one only. */
  readonly publisher?: Publisher
  /** What the message brought as a token, which is passed on as `Authorization: Bearer …`. */
  readonly token?: string
  /** User properties of MQTT 5. */
  readonly attributes: Readonly<Record<string, string>>
}

/** `false` refuses; headers are set on the request, so that the service knows who writes (`principal`). */
export type AuthorizeWrite = (
  write: MqttWrite,
) => boolean | Readonly<Record<string, string>> | Promise<boolean | Readonly<Record<string, string>>>

export interface WritesOptions {
  /** With MQTT 5 (`protocolVersion: 5`) devices of MQTT 5 are answered in its own way. It is not closed. */
  readonly broker: Broker
  /** What openService resolves with. */
  readonly service: { handle(exchange: WriteExchange): Promise<WriteReply> }
  /** Who may write; there is no default. `'anyone'`: who may publish on these topics, which the broker's access rules decide. */
  readonly authorize: 'anyone' | AuthorizeWrite
  /** What stands before the topics of writes: levels with a slash each, one of which may be `{user}`. @default '' */
  readonly prefix?: string
  /** A topic filter: answers go nowhere else. It may hold `{user}`, where the prefix does. @default 'replies/#' */
  readonly replies?: string
  /** The service's root. @default '' */
  readonly root?: string
  /** How deeply collections nest. @default 2 */
  readonly depth?: number
  /** Writes that have not been answered yet; more are answered with 503. @default 1_000 */
  readonly maxWaiting?: number
  /** Is told of what cannot be answered. @default standard error */
  readonly onError?: ReportError
}

export interface Writes extends AsyncDisposable {
  /** Takes no more writes, and resolves when those that run are answered. Broker and service stay open. Idempotent. */
  close(): Promise<void>
}

interface Settings {
  readonly options: WritesOptions
  readonly prefix: string
  readonly replies: string
  readonly root: string
  readonly maxWaiting: number
  readonly report: ReportError
}

/** Resolves when the broker has granted the subscription, or refused it, or cannot be reached yet. Errors: `invalid-option`. */
export async function openWrites(options: WritesOptions): Promise<Writes> {
  const settings = readOptions(options)
  const { broker, depth = 2 } = options
  const turns = createTurns(settings.maxWaiting)
  const closing = new AbortController()
  let subscription: Subscription | undefined
  const listener = (delivery: Delivery): void => take(settings, turns, delivery, closing.signal)
  const subscribed = broker
    .subscribe(writeFilters(settings.prefix, checkCount('depth', depth, { max: 8 })), listener, {
      onRefused: error => settings.report(error, { stage: 'writes over MQTT' }),
    })
    .then(
      async made => {
        subscription = made
        if (closing.signal.aborted) await made.close()
      },
      error => {
        if (!closing.signal.aborted) settings.report(error, { stage: 'writes over MQTT' })
      },
    )
  if (broker.connected) await subscribed
  let closed: Promise<void> | undefined
  const close = (): Promise<void> => {
    closed ??= (async () => {
      await subscription?.close()
      await turns.idle()
      closing.abort()
    })()
    return closed
  }
  return { close, [Symbol.asyncDispose]: close }
}

function readOptions(options: WritesOptions): Settings {
  checkOptions('openWrites', options, {
    broker: true,
    service: true,
    authorize: true,
    prefix: true,
    replies: true,
    root: true,
    depth: true,
    maxWaiting: true,
    onError: true,
  })
  checkMethods(
    'The broker of openWrites',
    options.broker,
    ['publish', 'subscribe'],
    'Give what connectMqtt resolves with.',
  )
  checkMethods(
    'The service of openWrites',
    options.service,
    ['handle'],
    'Give what openService resolves with.',
  )
  if (options.authorize !== 'anyone' && typeof options.authorize !== 'function') {
    throw new LockstepError(
      'invalid-option',
      `authorize is ${quote(options.authorize)}. Give 'anyone', or a function of the write that returns true or false.`,
    )
  }
  const prefix = checkWritePrefix(options.prefix ?? '')
  const replies = options.replies ?? 'replies/#'
  // All but its end is a prefix like the other one.
  checkTopicPrefix(
    replies
      .replace('{user}', 'user')
      .replace(/#$/, '')
      .replace(/([^/])$/, '$1/'),
  )
  return {
    options,
    prefix,
    replies,
    root: options.root ?? '',
    maxWaiting: checkCount('maxWaiting', options.maxWaiting ?? 1_000),
    report: createErrorReport(options.onError),
  }
}

function take(settings: Settings, turns: Turns, delivery: Delivery, signal: AbortSignal): void {
  const { topic, retained } = delivery
  const onError = (error: unknown): void => settings.report(error, { stage: `write on ${quote(topic)}` })
  if (retained) {
    // It would be made again at each start.
    onError(
      new LockstepError('invalid-request', 'A retained message is no write. Publish it without retain.'),
    )
    return
  }
  const replyTo = readReplyTo(delivery)
  const isAnswered = replyTo.topic !== undefined && isOwnTopic(settings, delivery, replyTo.topic)
  // Those of one resource one after another, in the order in which they came.
  turns
    .take(topic.slice(0, topic.lastIndexOf('/')), async () => {
      // Whoever names another's topic is up to something: nothing is written, and nothing sent there.
      if (replyTo.topic !== undefined && !isAnswered) throw foreignReply(settings, replyTo.topic)
      const reply = await make(settings, delivery, replyTo, signal).catch(problemReply)
      if (isAnswered) await sendReply(settings, replyTo, reply)
      else if (reply.status >= 400) onError(refused(reply))
    })
    .catch(async error => {
      if (isAnswered && isLockstepError(error, 'overloaded'))
        await sendReply(settings, replyTo, problemReply(error))
      else throw error
    })
    .catch(onError)
}

function refused({ status, body }: WriteReply): LockstepError {
  return new LockstepError('api-refused', `It was refused with ${status}: ${quote(body, 300)}.`)
}

/** Errors: `access-denied`, those of the topic and the message. */
async function make(
  { options, prefix, root }: Settings,
  delivery: Delivery,
  replyTo: ReplyTo,
  signal: AbortSignal,
): Promise<WriteReply> {
  const { topic, publisher } = delivery
  const { method, path, user } = parseWriteTopic(topic, prefix)
  const clientId = publisher?.clientId
  const writer = { ...(user === undefined ? {} : { user }), ...(clientId === undefined ? {} : { clientId }) }
  const { body, headers, token, attributes } = readWriteMessage(delivery, writer, replyTo)
  const write: MqttWrite = {
    method,
    path,
    topic,
    attributes,
    ...(user === undefined ? {} : { user }),
    ...(publisher === undefined ? {} : { publisher }),
    ...(token === undefined ? {} : { token }),
  }
  const granted = options.authorize === 'anyone' || (await options.authorize(write))
  if (granted === false || granted === undefined)
    throw new LockstepError('access-denied', `You may not write ${path}.`)
  const own: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const known = typeof granted === 'object' ? granted : {}
  const all = { ...headers, ...own, ...known }
  return await options.service.handle(
    createExchange({ method, path: root + path, headers: all, body, signal }),
  )
}

function isOwnTopic({ prefix, replies }: Settings, { topic }: Delivery, asked: string): boolean {
  if (asked === '' || /[+#\0]/.test(asked)) return false
  const user = topic.split('/')[prefix.split('/').indexOf('{user}')]
  return matchesTopicFilter(replies.replace('{user}', user ?? '{user}'), asked)
}

function foreignReply({ replies }: Settings, asked: string): LockstepError {
  return new LockstepError(
    'access-denied',
    `An answer may not go to ${quote(asked)}: name a topic in ${quote(replies)}. Nothing was written.`,
  )
}

function problemReply(error: unknown): WriteReply {
  const problem = toProblem(error)
  return {
    status: problem.status,
    headers: { 'content-type': 'application/problem+json' },
    body: JSON.stringify(problem),
  }
}

async function sendReply({ options }: Settings, replyTo: ReplyTo, reply: WriteReply): Promise<void> {
  const { topic, correlationData } = replyTo
  const correlation = correlationData === undefined ? {} : { correlationData }
  await options.broker.publish(topic!, formatReply(reply, replyTo.correlation), {
    properties: { contentType: 'application/json', ...correlation },
  })
}
