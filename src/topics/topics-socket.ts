/**
 * Streams over WebSockets: each text is an entry as in event streams; a page may publish by sending one. PROTOCOL.md §16.
 *
 * `{"topic": "lamp", "value": {"on": true}, "retain": true, "ref": 7}` is answered by `{"published": 7}`, or by `{"refused": 7, "problem": …}`.
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { isJsonObject, isTopicFilter, type Json, LockstepError, toProblem } from '../contract/index.ts'
import { problemAnswer } from './answer.ts'
import { checkOrigin, checkPublish, checkRead } from './rights.ts'
import type { StreamSink } from './topic-stream.ts'
import { parseTopicTarget } from './topic-target.ts'
import { askAccess, splitUrl, type TopicsContext } from './topics-handler.ts'
import { readJsonPayload } from './value.ts'

/** Messages of one page that wait for the broker. */
const maxPublishing = 100

const servers = new WeakMap<TopicsContext, WebSocketServer>()

/** Answers a handshake. Never rejects. */
export async function upgradeTopics(
  context: TopicsContext,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const { settings, streams } = context
  const ignore = (): void => {}
  socket.on('error', ignore)
  try {
    checkOrigin(request, settings.origins)
    const rights = await askAccess(settings, request)
    const { encoded, query } = splitUrl(request.url ?? '/', settings.root)
    const { topic: filter, isFilter } =
      encoded === '' ? { topic: '#', isFilter: true } : parseTopicTarget(encoded)
    if (!isFilter) checkRead(rights, filter)
    streams.checkRoom()
    if (socket.destroyed) return
    serverOf(context).handleUpgrade(request, socket, head, webSocket => {
      const sink = createSink(webSocket)
      webSocket.on('error', ignore)
      const withLast = query.get('last') !== 'false'
      const stream = streams.open({ request, filter, rights, sink, withLast })
      webSocket.once('close', () => stream.gone())
      hearPage(context, request, webSocket, sink)
    })
    socket.off('error', ignore)
  } catch (error) {
    const onError = (reason: unknown): void => context.report(reason, { stage: 'topics handshake' })
    const { status, headers, body = '' } = problemAnswer(error, {}, onError)
    const challenge = status === 401 ? { 'www-authenticate': settings.challenge } : {}
    const fields = {
      ...headers,
      ...challenge,
      connection: 'close',
      'content-length': Buffer.byteLength(body),
    }
    const lines = Object.entries(fields).map(field => field.join(': '))
    socket.end(`HTTP/1.1 ${status} Refused\r\n${lines.join('\r\n')}\r\n\r\n${body}`)
  }
}

function serverOf(context: TopicsContext): WebSocketServer {
  const known = servers.get(context)
  if (known !== undefined) return known
  const { maxBodyBytes } = context.settings.limits
  // Base64 and the envelope come on top of what is published.
  const made = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: maxBodyBytes * 2 + 70_000,
  })
  servers.set(context, made)
  return made
}

const closeCodes = { closed: 1001, 'too-slow': 4008, 'access-denied': 4003 } as const

function createSink(webSocket: WebSocket): StreamSink {
  return {
    get unsentBytes() {
      return webSocket.bufferedAmount
    },
    send: entry => webSocket.send(entry),
    ping: () => webSocket.ping(),
    end(code) {
      webSocket.close(closeCodes[code], code)
      if (code === 'too-slow') webSocket.terminate()
    },
  }
}

function hearPage(
  context: TopicsContext,
  request: IncomingMessage,
  webSocket: WebSocket,
  sink: StreamSink,
): void {
  let publishing = 0
  webSocket.on('message', (data, isBinary) => {
    const text = isBinary ? '' : data.toString()
    const { ref } = readRef(text)
    const refuse = (error: unknown): void =>
      sink.send(JSON.stringify({ refused: ref, problem: toProblem(error) }))
    if (publishing >= maxPublishing) {
      refuse(
        new LockstepError(
          'overloaded',
          `${maxPublishing} messages wait for the broker. Wait for their answers.`,
        ),
      )
      return
    }
    publishing++
    publish(context, request, text)
      .then(() => sink.send(JSON.stringify({ published: ref })), refuse)
      .finally(() => publishing--)
  })
}

function readRef(text: string): { readonly ref: Json } {
  try {
    const frame = JSON.parse(text) as Json
    return { ref: isJsonObject(frame) ? (frame['ref'] ?? null) : null }
  } catch {
    return { ref: null }
  }
}

/** Errors: `invalid-frame`, those of {@link checkPublish} and of the broker. */
async function publish(
  { settings, hub }: TopicsContext,
  request: IncomingMessage,
  text: string,
): Promise<void> {
  const { topic, bytes, retain } = readFrame(text)
  checkPublish(await askAccess(settings, request), topic)
  if (bytes.length > settings.limits.maxBodyBytes)
    throw new LockstepError('body-too-large', `The payload is over ${settings.limits.maxBodyBytes} bytes.`)
  await hub.publish(topic, bytes, retain)
}

function readFrame(text: string): { topic: string; bytes: Uint8Array; retain: boolean } {
  let frame: Json
  try {
    frame = JSON.parse(text) as Json
  } catch {
    throw invalidFrame()
  }
  if (!isJsonObject(frame)) throw invalidFrame()
  const { topic, value, text: plain, base64, retain = false } = frame
  const given = [value, plain, base64].filter(each => each !== undefined)
  const isUsable =
    typeof topic === 'string' && isTopicFilter(topic) && !/[+#]/.test(topic) && typeof retain === 'boolean'
  if (!isUsable || given.length !== 1) throw invalidFrame()
  if (value !== undefined)
    return { topic, bytes: Buffer.from(readJsonPayload(JSON.stringify(value))), retain }
  if (typeof plain === 'string') return { topic, bytes: Buffer.from(plain), retain }
  if (typeof base64 === 'string') return { topic, bytes: Buffer.from(base64, 'base64'), retain }
  throw invalidFrame()
}

function invalidFrame(): LockstepError {
  return new LockstepError(
    'invalid-frame',
    'This is no message to publish. Send {"topic": …, "value": JSON} or "text" or "base64" in its place; "retain" and "ref" may be added.',
  )
}
