/** A page as a test sees it: speaks the frames over a WebSocket or an event stream, keeps states as a page does, and checks what it is told. */
import assert from 'node:assert/strict'
import { createParser } from 'eventsource-parser'
import { WebSocket } from 'ws'
import {
  applyMergePatch,
  type Json,
  type JsonObject,
  type Position,
  parseMarker,
} from '../../src/contract/index.ts'

export interface Frame extends JsonObject {
  type: string
}

export interface Interval extends Frame {
  stream: string
  epoch: string
  after: number
  to: number
  messages: JsonObject[]
}

/** What came over one connection. */
export interface PageConnection extends AsyncDisposable {
  readonly frames: Frame[]
  /** Status and reason, once it has ended. */
  readonly ended: Promise<{ readonly status: number; readonly code: string }>
  readonly socket: WebSocket | undefined
  send(frame: unknown): void
  /** The first frame from `from` on that fits, as soon as there is one. */
  find(fits: (frame: Frame) => boolean, from?: number): Promise<Frame>
  type(type: string, from?: number): Promise<Frame>
  /** The messages of all intervals, once there are so many. */
  messages(count: number): Promise<JsonObject[]>
  close(): Promise<void>
}

class Inbox {
  readonly frames: Frame[] = []
  #waiting: (() => void)[] = []
  #end: string | undefined

  push(text: string): void {
    this.frames.push(JSON.parse(text))
    this.wake()
  }

  wake(end?: string): void {
    this.#end ??= end
    const waiting = this.#waiting
    this.#waiting = []
    for (const wake of waiting) wake()
  }

  async until<T>(look: () => T | undefined): Promise<T> {
    for (;;) {
      const found = look()
      if (found !== undefined) return found
      if (this.#end !== undefined) {
        throw new Error(
          `The connection ended (${this.#end}) behind ${JSON.stringify(this.frames).slice(0, 2_000)}`,
        )
      }
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    }
  }
}

function connectionOf(
  inbox: Inbox,
  rest: Pick<PageConnection, 'ended' | 'socket' | 'send' | 'close'>,
): PageConnection {
  const find: PageConnection['find'] = (fits, from = 0) =>
    inbox.until(() => inbox.frames.slice(from).find(fits))
  return {
    ...rest,
    frames: inbox.frames,
    find,
    type: (type, from) => find(frame => frame.type === type, from),
    messages: count =>
      inbox.until(() => {
        const all = messagesOf(inbox.frames)
        return all.length >= count ? all : undefined
      }),
    [Symbol.asyncDispose]: rest.close,
  }
}

export function messagesOf(frames: readonly Frame[]): JsonObject[] {
  return frames.flatMap(frame => (frame.type === 'interval' ? (frame as Interval).messages : []))
}

export interface ConnectOptions {
  readonly headers?: Readonly<Record<string, string>>
  /** Answer pings. @default true */
  readonly pongs?: boolean
}

/** Connects by WebSocket; resolves when the connection is open. */
export async function connectSocket(
  url: string,
  hello?: unknown,
  options: ConnectOptions = {},
): Promise<PageConnection> {
  const socket = new WebSocket(url.replace(/^http/, 'ws'), 'lockstep.1', { headers: options.headers })
  const inbox = new Inbox()
  const ended = Promise.withResolvers<{ status: number; code: string }>()
  const opened = Promise.withResolvers<void>()
  socket.on('open', () => opened.resolve())
  socket.on('error', error => opened.reject(error))
  socket.on('message', data => {
    const text = String(data)
    inbox.push(text)
    if (text === '{"type":"ping"}' && options.pongs !== false) socket.send('{"type":"pong"}')
  })
  socket.on('close', (status, reason) => {
    ended.resolve({ status, code: String(reason) })
    inbox.wake(`${status} ${reason}`)
  })
  await opened.promise
  const send = (frame: unknown): void =>
    socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame))
  if (hello !== undefined) send(hello)
  return connectionOf(inbox, {
    socket,
    ended: ended.promise,
    send,
    async close() {
      socket.resume()
      socket.close()
      await ended.promise
    },
  })
}

/** Connects by POST; resolves when the response has begun. */
export async function connectEvents(
  url: string,
  hello: unknown,
  options: ConnectOptions = {},
): Promise<PageConnection> {
  const closing = new AbortController()
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream', ...options.headers },
    body: JSON.stringify(hello),
    signal: closing.signal,
  })
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`)
  assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  const inbox = new Inbox()
  const ended = Promise.withResolvers<{ status: number; code: string }>()
  const parser = createParser({ onEvent: ({ data }) => inbox.push(data) })
  const read = async (): Promise<void> => {
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) parser.feed(chunk)
  }
  read()
    .catch(() => {})
    .finally(() => {
      ended.resolve({ status: 0, code: '' })
      inbox.wake('the response is over')
    })
  return connectionOf(inbox, {
    socket: undefined,
    ended: ended.promise,
    send() {
      throw new Error('A page cannot say anything on an event stream.')
    },
    async close() {
      closing.abort()
      await ended.promise
    },
  })
}

export function hello(
  follow: readonly (string | JsonObject)[],
  marker = '',
  more: JsonObject = {},
): JsonObject {
  const entries: Json[] = follow.map(entry => (typeof entry === 'string' ? { path: entry } : entry))
  return { type: 'hello', protocol: 1, follow: entries, marker, ...more }
}

/** A page's copy: takes frames as PROTOCOL.md §9.8 and §9.9 say, and fails where they break the rules. */
export class PageCopy {
  readonly held = new Map<string, { version: number; state: Json | undefined }>()
  readonly positions = new Map<string, Position>()
  readonly refreshes: string[] = []

  constructor(marker: string) {
    for (const position of parseMarker(marker)) this.positions.set(position.stream, position)
  }

  take(frame: Frame): void {
    if (frame.type === 'refresh') this.refreshes.push(String(frame['reason']))
    if (frame.type !== 'interval') return
    const { stream, epoch, after, to, messages } = frame as Interval
    const position = this.positions.get(stream)
    assert.ok(after <= to, 'an interval does not go back')
    if (position !== undefined) {
      assert.equal(epoch, position.epoch, 'an interval is of the epoch of the page')
      assert.ok(
        after <= position.seq,
        `a hole: the page is at ${position.seq}, the interval begins after ${after}`,
      )
      if (to < position.seq) return
    }
    for (const message of messages) this.#apply(message, position?.seq ?? after)
    this.positions.set(stream, { stream, epoch, seq: to })
  }

  #apply({ id, resource, version, event, state, changes, ref }: JsonObject, reached: number): void {
    assert.equal(ref, undefined)
    const seq = Number(String(id).split(':')[2])
    assert.ok(seq > reached, `${id} is told again to a page at ${reached}`)
    const path = String(resource)
    const before = this.held.get(path)
    if (before !== undefined && Number(version) <= before.version) return
    const after = event === 'deleted' ? undefined : (state ?? applyMergePatch(before?.state, changes!))
    this.held.set(path, { version: Number(version), state: after })
  }

  get marker(): string {
    return [...this.positions.values()]
      .map(({ stream, epoch, seq }) => `${stream}:${epoch}:${seq}`)
      .sort()
      .join(',')
  }

  /** The states by path, without what was deleted. */
  get states(): Record<string, Json> {
    const states = [...this.held].filter(([, { state }]) => state !== undefined)
    return Object.fromEntries(states.map(([path, { state }]) => [path, state!]).sort())
  }
}
