/** A service for tests: people with nested friends and their likes, and projects; asked in-process or over a socket. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createParser, type EventSourceMessage } from 'eventsource-parser'
import type { Broker, Delivery } from '../../src/broker/broker.ts'
import type { Json, JsonObject } from '../../src/contract/index.ts'
import type { ChangeLog } from '../../src/log/change-log.ts'
import type { GroupCommitOptions } from '../../src/log/group-commit.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { openSqliteLog } from '../../src/log/sqlite.ts'
import { defineResource } from '../../src/service/resource.ts'
import { openService, type Service, type ServiceOptions } from '../../src/service/service.ts'

export const people = defineResource('people', {
  maxBodyBytes: 10_000,
  pageSize: 3,
  schema: {
    type: 'object',
    required: ['name'],
    properties: {
      name: { type: 'string', minLength: 1 },
      email: { type: 'string', format: 'email' },
      age: { type: 'integer', minimum: 0 },
      address: { type: 'object', properties: { city: { type: 'string' } } },
      tags: { type: 'array', items: { type: 'string' } },
    },
  },
})
export const friends = defineResource('people/{person}/friends', {
  schema: { type: 'object', properties: { since: { type: 'integer' } } },
})
export const likes = defineResource('people/{person}/friends/{friend}/likes', {
  schema: { type: 'object' },
})
export const projects = defineResource('projects', {
  schema: {
    type: 'object',
    required: ['title'],
    properties: { title: { type: 'string' } },
    additionalProperties: false,
  },
})

/** What every answer to a PATCH says that it takes. */
export const acceptPatch = 'application/merge-patch+json, application/json-patch+json, application/json'

export const logKinds = ['memory', 'sqlite'] as const
export type LogKind = (typeof logKinds)[number]

/** Opens a log of either kind; the file of the SQLite one goes when it is closed. */
export async function openTestLog(kind: LogKind, options: GroupCommitOptions = {}): Promise<ChangeLog> {
  if (kind === 'memory') return createMemoryLog(options)
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-service-'))
  const log = await openSqliteLog({ ...options, file: join(folder, 'log.db') })
  const close = log.close.bind(log)
  log.close = async () => {
    await close()
    await rm(folder, { recursive: true, force: true })
  }
  return log
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The body as JSON; `undefined` where it is empty. */
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came
  readonly json: any
}

export interface AskOptions {
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as JSON. */
  readonly body?: unknown
  /** Sent as it is, with the given Content-Type or none. */
  readonly rawBody?: BodyInit
}

export interface TestService extends AsyncDisposable {
  readonly service: Service
  readonly log: ChangeLog
  /** What was reported to `onError`; a test that expects some takes them out, the others fail at the end. */
  readonly errors: { readonly error: unknown; readonly stage: string }[]
  /** Asks in-process: `ask('PATCH', '/people/1', { body: { age: 3 } })`. */
  ask(method: string, path: string, options?: AskOptions): Promise<Answer>
  /** All changes of a stream as the feed tells them. */
  changes(stream: string): Promise<readonly JsonObject[]>
}

/** Opens a service on a log of its own, which it closes. */
export async function openTestService(
  options: Partial<ServiceOptions> & { readonly logKind?: LogKind } = {},
): Promise<TestService> {
  const { logKind = 'memory', ...rest } = options
  const log = rest.log ?? (await openTestLog(logKind))
  const errors: TestService['errors'] = []
  const service = await openService({
    resources: [people, friends, likes, projects],
    onError: (error, { stage }) => errors.push({ error, stage }),
    ...rest,
    log,
  })
  const ask = (method: string, path: string, askOptions: AskOptions = {}): Promise<Answer> =>
    askOver(service.fetch, `http://service.test${path}`, method, askOptions)
  return {
    service,
    log,
    errors,
    ask,
    async changes(stream) {
      const { json } = await ask('GET', `${options.root ?? ''}/${stream}/_changes?limit=10000`)
      assert.equal(json.to, json.head)
      return json.changes
    },
    async [Symbol.asyncDispose]() {
      await service.close()
      if (rest.log === undefined) await log.close()
      assert.deepEqual(errors, [])
    },
  }
}

/** Asks any fetch-style handler, or a server with the global `fetch`. */
export async function askOver(
  handler: (request: Request) => Promise<Response>,
  url: string,
  method: string,
  { headers = {}, body, rawBody }: AskOptions = {},
): Promise<Answer> {
  const type: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' }
  const request = new Request(url, {
    method,
    headers: { ...type, ...headers },
    body: body === undefined ? rawBody : JSON.stringify(body),
    ...(rawBody instanceof ReadableStream ? { duplex: 'half' } : {}),
  })
  const response = await handler(request)
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, json: parse(text) }
}

function parse(text: string): Json | undefined {
  if (text === '') return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Asserts a problem document of a code, and gives it. */
export function assertProblem(answer: Answer, status: number, code: string): JsonObject {
  assert.equal(answer.status, status, answer.text)
  assert.equal(answer.headers.get('content-type'), 'application/problem+json; charset=utf-8')
  assert.equal(answer.json.code, code, answer.text)
  assert.equal(answer.json.status, status)
  assert.equal(typeof answer.json.title, 'string')
  assert.equal(typeof answer.json.detail, 'string')
  return answer.json
}

export interface Heard extends AsyncDisposable {
  readonly deliveries: readonly Delivery[]
  /** Resolves when the condition holds, looked at after each delivery; rejects after 10 s with what came. */
  until(condition: (deliveries: readonly Delivery[]) => boolean): Promise<readonly Delivery[]>
}

/** Subscribes, and keeps what comes. */
export async function hear(broker: Broker, ...filters: readonly string[]): Promise<Heard> {
  const deliveries: Delivery[] = []
  const checks = new Set<() => void>()
  const subscription = await broker.subscribe(filters, delivery => {
    deliveries.push(delivery)
    for (const check of checks) check()
  })
  const until: Heard['until'] = condition =>
    new Promise((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer)
        checks.delete(check)
      }
      const check = (): void => {
        if (!condition(deliveries)) return
        end()
        resolve(deliveries)
      }
      const timer = setTimeout(() => {
        end()
        const came = deliveries.map(({ topic, payload }) => `${topic} ${payload}`).join('\n')
        reject(new Error(`Nothing more came. So far:\n${came}`))
      }, 10_000)
      checks.add(check)
      check()
    })
  return { deliveries, until, [Symbol.asyncDispose]: () => subscription.close() }
}

/** Looks again and again until the condition holds; for what tells nobody when it happens. */
export async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`It did not come true within 10 s: ${condition}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

export interface Events {
  /** The next event; `undefined` where the stream has ended. */
  next(): Promise<EventSourceMessage | undefined>
  /** The next events up to the first that fulfils the condition, that one included. */
  until(condition: (event: EventSourceMessage) => boolean): Promise<EventSourceMessage[]>
  /** Leaves, as a client does that closes its page. */
  close(): Promise<void>
}

/** Reads an event stream as its events; what is not read is not taken from the connection. */
export function readEvents(response: Response): Events {
  assert.equal(response.status, 200)
  assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  const waiting: EventSourceMessage[] = []
  const parser = createParser({ onEvent: event => waiting.push(event) })
  const next: Events['next'] = async () => {
    while (waiting.length === 0) {
      const { done, value } = await reader.read()
      if (done) return undefined
      parser.feed(value)
    }
    return waiting.shift()
  }
  return {
    next,
    async until(condition) {
      const events: EventSourceMessage[] = []
      for (;;) {
        const event = await next()
        if (event === undefined) throw new Error(`The stream ended behind ${JSON.stringify(events)}.`)
        events.push(event)
        if (condition(event)) return events
      }
    },
    close: () => reader.cancel(),
  }
}
