/** Services that break one rule each: the check that is there for it must fail, and it must pass where nothing is broken. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { Broker } from '../../src/broker/broker.ts'
import { createMemoryHub } from '../../src/broker/memory.ts'
import {
  type CheckReport,
  checkApi,
  checks,
  readMessageSchemas,
  readOpenApiOutline,
} from '../../src/check/index.ts'
import type { JsonObject } from '../../src/contract/index.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { openService } from '../../src/service/service.ts'
import { friends, people } from '../support/service.ts'

interface Mutant {
  /** What is wrong with it. */
  readonly name: string
  /** How long what does not come is waited for. */
  readonly patienceMs?: number
  /** The checks that must see it. */
  readonly seenBy: readonly string[]
  /** What becomes of the number-th message; several, none, or others. */
  readonly publish?: (
    topic: string,
    payload: string,
    number: number,
  ) => readonly (readonly [topic: string, payload: string])[]
  readonly request?: (request: Request) => Request | Promise<Request>
  /** Has it nothing of what it had, when it is started again? */
  readonly forgets?: true
  readonly answer?: (request: Request, answer: Response, number: number) => Response | Promise<Response>
}

/** What is made in each run, so that there is something to judge. */
const always = ['write.create', 'write.patch', 'write.delete']

async function judge(mutant: Mutant): Promise<CheckReport> {
  let log = createMemoryLog()
  const broker = createMemoryHub().connect()
  const open = (): ReturnType<typeof openService> =>
    openService({
      resources: [people, friends],
      log,
      broker: mutateBroker(broker, mutant),
      relay: { headEveryMs: 50 },
    })
  let service = await open()
  const restart = async (): Promise<void> => {
    await service.close()
    if (mutant.forgets) log = createMemoryLog()
    service = await open()
  }
  let number = 0
  const server = createServer(async (incoming, outgoing) => {
    const chunks: Uint8Array[] = []
    for await (const chunk of incoming) chunks.push(chunk as Uint8Array)
    const headers = new Headers(incoming.headers as Record<string, string>)
    const body = chunks.length === 0 ? undefined : Buffer.concat(chunks)
    const original = new Request(`http://${incoming.headers.host}${incoming.url}`, {
      method: incoming.method,
      headers,
      body,
    })
    const request = (await mutant.request?.(original)) ?? original
    const real = await service.fetch(request)
    const answer = (await mutant.answer?.(original, real, ++number)) ?? real
    outgoing.writeHead(answer.status, Object.fromEntries(answer.headers))
    for await (const chunk of answer.body ?? []) {
      if (outgoing.destroyed) break
      outgoing.write(chunk)
    }
    outgoing.end()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  try {
    const api = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const document = async (name: string): Promise<JsonObject> =>
      (await (await service.fetch(new Request(`${api}/${name}`))).json()) as JsonObject
    return await checkApi({
      api,
      broker,
      outline: readOpenApiOutline(await document('_openapi'), 'openapi'),
      schemas: readMessageSchemas(await document('_asyncapi'), 'asyncapi'),
      restart,
      patienceMs: mutant.patienceMs ?? 5_000,
      only: id => always.includes(id) || mutant.seenBy.includes(id),
    })
  } finally {
    server.closeAllConnections()
    server.close()
    await service.close()
    await broker.close()
    await log.close()
  }
}

function mutateBroker(broker: Broker, { publish }: Mutant): Broker {
  if (publish === undefined) return broker
  let number = 0
  return new Proxy(broker, {
    get(target, name) {
      if (name === 'publish') {
        return async (topic: string, payload: string, options: object) => {
          for (const [to, text] of publish(topic, payload, topic.includes('lockstep/head/') ? 0 : ++number))
            await target.publish(to, text, options)
        }
      }
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** Changes the body of each page of the feed. */
function inFeed(change: (page: { changes: JsonObject[] }) => void): Mutant['answer'] {
  return async (request, answer) => {
    if (!request.url.includes('/_changes') || answer.status !== 200) return answer
    const page = (await answer.json()) as { changes: JsonObject[] }
    change(page)
    return new Response(JSON.stringify(page), answer)
  }
}

function withHeader(name: string, change: (text: string) => string | undefined): Mutant['answer'] {
  return (_request, answer) => {
    const text = answer.headers.get(name)
    if (text === null) return answer
    const headers = new Headers(answer.headers)
    const changed = change(text)
    if (changed === undefined) headers.delete(name)
    else headers.set(name, changed)
    return new Response(answer.body, { status: answer.status, headers })
  }
}

function without(name: string): Mutant['request'] {
  return request => {
    const headers = new Headers(request.headers)
    headers.delete(name)
    return new Request(request, { headers })
  }
}

/** Behind the two that a check of the marker needs before it. */
function held(): NonNullable<Mutant['publish']> {
  let waiting: readonly [string, string] | undefined
  return (topic, payload, number) => {
    if (number === 5) {
      waiting = [topic, payload]
      return []
    }
    const both =
      waiting === undefined || number === 0
        ? [[topic, payload] as const]
        : [[topic, payload] as const, waiting]
    if (number !== 0) waiting = undefined
    return both
  }
}

const mutants: readonly Mutant[] = [
  {
    name: 'loses a message',
    patienceMs: 300,
    seenBy: ['messages.delivered'],
    publish: (topic, payload, number) => (number === 5 ? [] : [[topic, payload]]),
  },
  { name: 'swaps two messages', seenBy: ['messages.order'], publish: held() },
  {
    name: 'publishes on the topic of the resource what was made by POST',
    seenBy: ['messages.topic'],
    publish: (topic, payload) => [[payload.startsWith('{"event":"created"') ? `${topic}/x` : topic, payload]],
  },
  {
    name: 'says another version in a message than in the feed',
    seenBy: ['messages.feed'],
    publish: (topic, payload) => [[topic, payload.replace(/"version":2/, '"version":3')]],
  },
  {
    name: 'publishes states that do not fit their schema',
    seenBy: ['messages.schema'],
    publish: (topic, payload) => [[topic, payload.replace(/"age":\d+/, '"age":"old"')]],
  },
  {
    name: 'publishes other states than it has',
    seenBy: ['copy.equal'],
    publish: (topic, payload) => [[topic, payload.replace(/"name":"[^"]*"/, '"name":"Eve"')]],
  },
  {
    name: 'publishes no heads',
    patienceMs: 300,
    seenBy: ['heads.published'],
    publish: (topic, payload, number) => (number === 0 ? [] : [[topic, payload]]),
  },
  {
    name: 'has heads that are ahead of its feed',
    seenBy: ['heads.published'],
    publish: (topic, payload, number) => [
      [
        topic,
        number === 0 ? payload.replace(/"seq":(\d+)/, (_, seq) => `"seq":${Number(seq) + 5_000}`) : payload,
      ],
    ],
  },
  {
    name: 'leaves a change out of its feed',
    seenBy: ['changes.numbers', 'changes.once'],
    answer: inFeed(page => page.changes.splice(2, 1)),
  },
  {
    name: 'skips a version',
    seenBy: ['changes.versions'],
    answer: inFeed(page => {
      for (const change of page.changes)
        if (Number(change['version']) > 1) change['version'] = Number(change['version']) + 1
    }),
  },
  {
    name: 'tells a change twice',
    seenBy: ['changes.once', 'changes.numbers'],
    answer: inFeed(page => {
      if (page.changes.length > 3) page.changes.push({ ...page.changes[2]! })
    }),
  },
  {
    name: 'has patches in its feed that lead elsewhere',
    seenBy: ['changes.content', 'together.writers'],
    answer: inFeed(page => {
      for (const change of page.changes)
        if (change['changes'] !== undefined) change['changes'] = { name: 'Eve' }
    }),
  },
  {
    name: 'has markers that are one too high',
    seenBy: ['answers.markers', 'together.baselines'],
    answer: withHeader('lockstep-marker', text => text.replace(/\d+$/, seq => String(Number(seq) + 1))),
  },
  {
    name: 'has markers that never move',
    seenBy: ['answers.markers'],
    answer: withHeader('lockstep-marker', text => text.replace(/\d+$/, '0')),
  },
  {
    name: 'has no markers',
    seenBy: ['answers.markers'],
    answer: withHeader('lockstep-marker', () => undefined),
  },
  {
    name: 'has weak entity tags',
    seenBy: ['answers.etags', 'write.create'],
    answer: withHeader('etag', text => `W/${text}`),
  },
  {
    name: 'has the same entity tag after a change',
    seenBy: ['write.conditions'],
    answer: withHeader('etag', text => text.replace(/\.\d+/, '.1')),
  },
  {
    name: 'does not look at If-Match',
    seenBy: ['write.refused', 'write.conditions', 'together.one-wins'],
    request: without('if-match'),
  },
  {
    name: 'does not look at If-None-Match',
    seenBy: ['write.conditions', 'list.etag'],
    request: without('if-none-match'),
  },
  { name: 'does not look at Idempotency-Key', seenBy: ['retry.keys'], request: without('idempotency-key') },
  { name: 'does not look at X-Request-Id', seenBy: ['write.request-id'], request: without('x-request-id') },
  { name: 'leads to no feed', seenBy: ['answers.headers'], answer: withHeader('link', () => undefined) },
  {
    name: 'names another topic',
    seenBy: ['answers.headers'],
    answer: withHeader('lockstep-topic', text => (text.includes('/') ? `${text}x` : text)),
  },
  {
    name: 'refuses in plain text',
    seenBy: ['answers.problems', 'write.refused'],
    answer: (_, answer) => (answer.status < 400 ? answer : new Response('No.', { status: answer.status })),
  },
  {
    name: 'answers a position ahead with what it has',
    seenBy: ['feed.positions'],
    request: request => new Request(request.url.replace(/(after=\w+:)\d{4,}/, '$10'), request),
  },
  {
    name: 'holds fewer changes on a page than it says',
    seenBy: ['feed.pages'],
    answer: inFeed(page => page.changes.pop()),
  },
  {
    name: 'lists in another order',
    seenBy: ['list.pages'],
    answer: async (request, answer) =>
      /friends\?/.test(request.url) && answer.status === 200
        ? new Response(JSON.stringify(((await answer.json()) as unknown[]).reverse()), answer)
        : answer,
  },
  {
    name: 'takes any query',
    seenBy: ['list.parameters'],
    request: request => new Request(request.url.replace(/[?&](check|_sort)=\w+/, ''), request),
  },
  {
    name: 'makes a version where nothing changes',
    seenBy: ['write.no-op'],
    answer: withHeader(
      'etag',
      (() => {
        let number = 100
        return (text: string) => text.replace(/\.\d+/, () => `.${++number}`)
      })(),
    ),
  },
  { name: 'forgets everything when it is restarted', seenBy: ['restart.acknowledged'], forgets: true },
  {
    name: 'takes an id that is taken',
    seenBy: ['write.chosen-id'],
    answer: (_, answer) =>
      answer.status === 409 ? new Response(answer.body, { status: 201, headers: answer.headers }) : answer,
  },
  {
    name: 'replaces where it should merge',
    seenBy: ['write.patch'],
    request: async request =>
      request.method === 'PATCH'
        ? new Request(request.url, {
            method: 'PUT',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({ name: 'Eve', ...((await request.json()) as object) }),
          })
        : request,
  },
  {
    name: 'says 200 where PUT creates',
    seenBy: ['write.put'],
    answer: (request, answer) =>
      request.method === 'PUT' && answer.status === 201
        ? new Response(answer.body, { status: 200, headers: answer.headers })
        : answer,
  },
  {
    name: 'says 200 of what it deleted',
    seenBy: ['write.delete'],
    answer: (request, answer) =>
      request.method === 'DELETE' && answer.status === 204
        ? new Response('{}', { status: 200, headers: answer.headers })
        : answer,
  },
  {
    name: 'takes weak tags in If-Match',
    seenBy: ['write.if-match'],
    request: request => {
      const headers = new Headers(request.headers)
      headers.set('if-match', (headers.get('if-match') ?? '*').replace('W/', ''))
      return new Request(request, { headers })
    },
  },
  {
    name: 'takes no JSON Patch and says that it does',
    seenBy: ['write.json-patch'],
    request: request => {
      const headers = new Headers(request.headers)
      if (/json-patch/.test(headers.get('content-type') ?? '')) headers.set('content-type', 'text/plain')
      return new Request(request, { headers })
    },
  },
  {
    name: 'has no bulks and says that it does',
    seenBy: ['write.bulk'],
    request: request => new Request(request.url.replace('_bulk', '_bulks'), request),
  },
  {
    name: 'has no health and says that it does',
    seenBy: ['health'],
    request: request => new Request(request.url.replace('/health', '/healthy'), request),
  },
  { name: 'has no event stream and says that it does', seenBy: ['feed.events'], request: without('accept') },
  {
    name: 'spells a Location in another way',
    seenBy: ['path.odd-ids'],
    answer: withHeader('location', text => text.replace('%20', '+')),
  },
  {
    name: 'knows only one spelling of a path',
    seenBy: ['path.spellings'],
    answer: (request, answer) => (request.url.includes('%41') ? Response.json({}, { status: 404 }) : answer),
  },
  {
    name: 'takes a reserved segment for nothing',
    seenBy: ['path.refused'],
    request: request => new Request(request.url.replace('/_unknown', ''), request),
  },
  {
    name: 'does not say what belongs to one transaction',
    seenBy: ['path.nesting'],
    answer: inFeed(page => {
      for (const change of page.changes) delete change['tx']
    }),
  },
  {
    name: 'has other versions in its list',
    seenBy: ['list.versions'],
    answer: withHeader('lockstep-versions', text => text.replace(/\d+/, '99')),
  },
  {
    name: 'tells of other paths than it is asked for',
    seenBy: ['feed.under'],
    request: request => new Request(request.url.replace(/&under=[^&]*/, ''), request),
  },
  {
    name: 'does not make its feed compact',
    seenBy: ['feed.compact'],
    request: request => new Request(request.url.replace('&compact=true', ''), request),
  },
  {
    name: 'lets pages of its feed be kept by anybody',
    seenBy: ['feed.caching'],
    answer: withHeader('cache-control', () => 'public, max-age=60'),
  },
]

test('where nothing is broken, every check of these passes', async () => {
  const report = await judge({ name: 'whole', seenBy: [...new Set(mutants.flatMap(({ seenBy }) => seenBy))] })
  const others = report.results.filter(({ status }) => status !== 'passed')
  assert.deepEqual(
    others.map(({ id, faults }) => [id, faults]),
    [],
  )
})

test('there is no check that no service fails', () => {
  const seen = new Set(mutants.flatMap(({ seenBy }) => seenBy))
  assert.deepEqual(
    checks.filter(({ id }) => !seen.has(id)).map(({ id }) => id),
    [],
  )
})

for (const mutant of mutants) {
  test(`a service that ${mutant.name} fails ${mutant.seenBy.join(' and ')}`, async () => {
    const report = await judge(mutant)
    assert.equal(report.ok, false)
    const status = Object.fromEntries(report.results.map(({ id, status }) => [id, status]))
    for (const id of mutant.seenBy)
      assert.equal(
        status[id],
        'failed',
        `${id} ${JSON.stringify(report.results.find(each => each.id === id))}`,
      )
  })
}
