import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import type { ServerResponse } from 'node:http'
import test from 'node:test'
import { createApi } from '../../src/client/api.ts'
import type { Source } from '../../src/client/source.ts'
import { openSseSource } from '../../src/client/sse-source.ts'
import { formatHead, isLockstepError, parsePath } from '../../src/contract/index.ts'
import { type FakeAnswer, type FakeApi, openFakeApi } from '../support/fake-api.ts'

interface Stage extends AsyncDisposable {
  readonly api: FakeApi
  readonly source: Source
  readonly heard: string[]
  /** Resolves when so many things were said. */
  said(count: number): Promise<readonly string[]>
  /** The answer that the source has opened. */
  readonly stream: Promise<ServerResponse>
}

/** A source that is opened after people:e1:5. */
async function open(answer?: FakeAnswer): Promise<Stage> {
  const { promise: stream, resolve } = Promise.withResolvers<ServerResponse>()
  const begin = (response: ServerResponse): void => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.flushHeaders()
    resolve(response)
  }
  const api = await openFakeApi(() => answer ?? begin)
  const heard: string[] = []
  const events = new EventEmitter()
  const say = (what: string): void => {
    heard.push(what)
    events.emit('heard')
  }
  const client = createApi({
    root: new URL(api.url),
    fetch,
    headers: () => ({}),
    timeoutMs: 10_000,
    topicPrefix: undefined,
  })
  const request = { target: parsePath('/people'), after: { epoch: 'e1', seq: 5 }, hearsCreations: false }
  const source = openSseSource(
    { ...request, api: client },
    {
      onUp: () => say('up'),
      onDown: () => say('down'),
      onMessage: () => say('message'),
      onHead: () => say('head'),
      onInterval: ({ epoch, after, to, head, changes }) =>
        say(
          `${epoch} (${after}, ${to}] ${changes.map(({ seq }) => seq)}${head === undefined ? '' : ` head ${head}`}`,
        ),
      onGone: () => say('gone'),
      onError: error => say(`error ${isLockstepError(error) ? error.code : error}`),
    },
  )
  return {
    api,
    source,
    heard,
    stream,
    async said(count) {
      while (heard.length < count) await once(events, 'heard')
      return heard
    },
    async [Symbol.asyncDispose]() {
      source.close()
      await api[Symbol.asyncDispose]()
    },
  }
}

function change(seq: number): string {
  const message = { event: 'deleted', resource: '/people/a', version: 2, id: `people:e1:${seq}` }
  return `id: people:e1:${seq}\ndata: ${JSON.stringify(message)}\n\n`
}

function head(seq: number): string {
  return `event: head\nid: people:e1:${seq}\ndata: ${formatHead({ stream: 'people', epoch: 'e1', seq, first: 1 })}\n\n`
}

test('changes and heads become intervals that begin where the last one ended', async () => {
  await using stage = await open()
  const stream = await stage.stream
  stream.write(`retry: 2000\n\n${change(6)}${change(8)}${head(9)}`)
  await stage.said(2)
  stream.write(change(10))
  await stage.said(3)
  stream.write(`: a comment\n\n${head(10)}`)
  assert.deepEqual(await stage.said(4), [
    'up',
    'e1 (5, 9] 6,8 head 9',
    'e1 (9, 10] 10',
    'e1 (10, 10]  head 10',
  ])
  assert.equal(stage.api.requests[0]?.url, '/people/_changes?after=e1%3A5')
})

test('an event that is cut anywhere is put together again', async () => {
  await using stage = await open()
  const stream = await stage.stream
  const text = change(6) + head(6)
  for (const letter of text) {
    stream.write(letter)
    await new Promise(done => setImmediate(done))
  }
  const heard = await stage.said(3)
  assert.deepEqual(heard, ['up', 'e1 (5, 6] 6', 'e1 (6, 6]  head 6'])
})

test('events that are not known are left out', async () => {
  await using stage = await open()
  const stream = await stage.stream
  stream.write(`event: news\ndata: {}\n\ndata: {"event":"archived"}\n\n${change(6)}`)
  assert.deepEqual(await stage.said(2), ['up', 'e1 (5, 6] 6'])
})

test('a position that is gone is told, in the stream or instead of it', async () => {
  await using stage = await open()
  const stream = await stage.stream
  stream.write(`${change(6)}event: gone\ndata: {"marker":"people:e2:1"}\n\n`)
  assert.deepEqual(await stage.said(3), ['up', 'e1 (5, 6] 6', 'gone'])
  await using other = await open({ status: 410, body: { code: 'position-gone' } })
  assert.deepEqual(await other.said(1), ['gone'])
})

test('a stream that ends is lost, one that breaks also says why', async () => {
  await using stage = await open()
  ;(await stage.stream).end()
  assert.deepEqual(await stage.said(2), ['up', 'down'])
  await using broken = await open()
  ;(await broken.stream).destroy()
  assert.deepEqual(await broken.said(3), ['up', 'error api-unreachable', 'down'])
})

test('a stream that cannot be opened is lost, with the reason', async () => {
  await using stage = await open({ status: 503, body: { code: 'too-many-followers', detail: 'full' } })
  assert.deepEqual(await stage.said(2), ['error api-unreachable', 'down'])
  await using ahead = await open({ status: 503, body: { code: 'position-ahead', detail: 'wait' } })
  assert.deepEqual(await ahead.said(1), ['down'])
})

test('a change that cannot be read ends the stream', async () => {
  await using stage = await open()
  ;(await stage.stream).write('data: no json\n\n')
  assert.deepEqual(await stage.said(3), ['up', 'error invalid-json', 'down'])
})

test('after it is closed nothing is heard, and the server sees it', async () => {
  await using stage = await open()
  const stream = await stage.stream
  await stage.said(1)
  const closed = once(stream, 'close')
  stage.source.close()
  await closed
  assert.deepEqual(stage.heard, ['up'])
})
