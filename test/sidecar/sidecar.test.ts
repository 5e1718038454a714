/** The sidecar before a small API: what clients get, what is observed, and what is found by the scan. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { createMemoryLog } from 'lockstep/log'
import { openSidecar, type Sidecar, type SidecarOptions } from 'lockstep/sidecar'

interface SmallApi {
  readonly url: string
  readonly people: Map<string, object>
  readonly requests: string[]
  /** Answers in the place of the API, where it gives `true`. */
  before: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined
}

/** `/people` and `/people/{id}`, with numbers as ids, and no word about what it makes but its body. */
async function openSmallApi(t: TestContext): Promise<SmallApi> {
  const people = new Map<string, object>([['1', { id: 1, name: 'Ann' }]])
  const requests: string[] = []
  const api: SmallApi = { url: '', people, requests, before: undefined }
  const server = createServer(async (request, response) => {
    requests.push(`${request.method} ${request.url}`)
    let text = ''
    for await (const part of request) text += part
    if (api.before?.(request, response)) return
    const id = /^\/people\/([^/?]+)$/.exec(request.url!)?.[1]
    const send = (status: number, body?: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(body === undefined ? undefined : JSON.stringify(body))
    }
    if (request.method === 'POST') {
      const made = { id: people.size + 1, ...JSON.parse(text) }
      people.set(String(made.id), made)
      send(201, made)
    } else if (id === undefined) send(request.url === '/people' ? 200 : 404, [...people.values()])
    else if (request.method === 'PUT') {
      people.set(id, { id: Number(id), ...JSON.parse(text) })
      send(204)
    } else if (request.method === 'DELETE') send(people.delete(id) ? 204 : 404)
    else send(people.has(id) ? 200 : 404, people.get(id))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return Object.assign(api, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
}

async function open(t: TestContext, api: SmallApi, options: Partial<SidecarOptions> = {}): Promise<Sidecar> {
  const log = createMemoryLog()
  const sidecar = await openSidecar({
    upstream: api.url,
    resources: { people: {} },
    log,
    scanEveryMs: 0,
    onError: () => {},
    ...options,
  })
  t.after(async () => {
    await sidecar.close(0)
    await log.close()
  })
  await sidecar.ready
  return sidecar
}

async function changes(sidecar: Sidecar): Promise<Record<string, unknown>[]> {
  const response = await fetch(`${sidecar.mirrorUrl}/people/_changes?after=earliest`)
  return ((await response.json()) as { changes: Record<string, unknown>[] }).changes
}

const json = { 'content-type': 'application/json' }

test('answers are those of the API, with where the changes are and a marker; writes become messages with their cause', async t => {
  const sidecar = await open(t, await openSmallApi(t))
  const read = await fetch(`${sidecar.url}/people/1`)
  assert.deepEqual(await read.json(), { id: 1, name: 'Ann' })
  assert.equal(read.headers.get('link'), '</_mirror/people/_changes>; rel="changes"')
  assert.equal(read.headers.get('lockstep-topic'), 'people/1')
  assert.match(read.headers.get('lockstep-marker')!, /^people:\w+:1$/)
  const body = '{"name":"Bob"}'
  const made = await fetch(`${sidecar.url}/people`, { method: 'POST', headers: json, body })
  assert.equal(made.status, 201)
  const put = { method: 'PUT', headers: { ...json, 'x-request-id': 'mine' }, body: '{"name":"Rob"}' }
  assert.equal((await fetch(`${sidecar.url}/people/2`, put)).headers.get('x-request-id'), 'mine')
  await fetch(`${sidecar.url}/people/1`, { method: 'DELETE' })
  await sidecar.settled()
  const told = (await changes(sidecar)).map(({ event, resource, state, changes }) => [
    event,
    resource,
    state ?? changes,
  ])
  assert.deepEqual(told.slice(0, 2), [
    ['created', '/people/1', { id: '1', name: 'Ann' }],
    ['created', '/people/2', { id: '2', name: 'Bob' }],
  ])
  assert.deepEqual(told.slice(2).sort(), [
    ['deleted', '/people/1', undefined],
    ['modified', '/people/2', { name: 'Rob' }],
  ])
  const renamed = (await changes(sidecar)).find(({ event }) => event === 'modified')
  assert.equal(renamed?.['cause'], 'mine')
})

test('what goes round the sidecar is found by the scan: changes, new ones and deletions', async t => {
  const api = await openSmallApi(t)
  const sidecar = await open(t, api)
  api.people.set('1', { id: 1, name: 'Anna' }).set('2', { id: 2, name: 'Bob' })
  assert.equal(await sidecar.scan(), true)
  api.people.delete('1')
  await sidecar.scan()
  await sidecar.settled()
  assert.deepEqual(
    (await changes(sidecar)).map(({ event, resource }) => `${event} ${resource}`),
    ['created /people/1', 'modified /people/1', 'created /people/2', 'deleted /people/1'],
  )
})

test('a list that leaves somebody out deletes nobody who is still there', async t => {
  const api = await openSmallApi(t)
  const sidecar = await open(t, api)
  api.before = (request, response) => request.url === '/people' && !!response.end('[]')
  await sidecar.scan()
  await sidecar.settled()
  assert.equal((await changes(sidecar)).length, 1)
})

test('a list is compared again where something was observed since, though the API says it is as it was', async t => {
  const api = await openSmallApi(t)
  const sidecar = await open(t, api)
  const put = (name: string): RequestInit => ({
    method: 'PUT',
    headers: json,
    body: JSON.stringify({ name }),
  })
  await fetch(`${sidecar.url}/people/1`, put('Anna'))
  await sidecar.settled()
  // Round the sidecar, to what the last list had.
  await fetch(`${api.url}/people/1`, put('Ann'))
  await sidecar.scan()
  const [, , back] = await changes(sidecar)
  assert.deepEqual(back?.['changes'], { name: 'Ann' })
})

test('while the API is away clients get 503, and nothing is taken for deleted', async t => {
  const api = await openSmallApi(t)
  const sidecar = await open(t, api)
  api.before = (_request, response) => {
    response.socket?.destroy()
    return true
  }
  const { status } = await fetch(`${sidecar.url}/people/1`, { method: 'DELETE' })
  assert.equal(status, 503)
  assert.equal(await sidecar.scan(), false)
  assert.equal((await changes(sidecar)).length, 1)
})

test('a clear refusal changes nothing, and nobody looks', async t => {
  const api = await openSmallApi(t)
  const sidecar = await open(t, api)
  api.before = (request, response) => {
    if (request.method !== 'PUT') return false
    response.writeHead(409).end()
    return true
  }
  api.requests.length = 0
  await fetch(`${sidecar.url}/people/1`, { method: 'PUT', headers: json, body: '{}' })
  await sidecar.settled()
  assert.deepEqual(api.requests, ['PUT /people/1'])
})

test('a rule says what a request changes elsewhere, by members of its body too', async t => {
  const api = await openSmallApi(t)
  const sidecar = await open(t, api, { touches: { 'POST /orders': ['/people/{body.person}'] } })
  api.before = (request, response) => {
    if (request.url !== '/orders') return false
    api.people.set('1', { id: 1, name: 'Ann', orders: 1 })
    response.end('{}')
    return true
  }
  await fetch(`${sidecar.url}/orders`, { method: 'POST', headers: json, body: '{"person":1}' })
  await sidecar.settled()
  assert.deepEqual((await changes(sidecar)).at(-1)?.['changes'], { orders: 1 })
})

test('before the first scan there is no baseline rather than an empty one', async t => {
  const api = await openSmallApi(t)
  const log = createMemoryLog()
  let goOn = (): void => {}
  api.before = (_request, response) => {
    goOn = () => void response.end('[]')
    return true
  }
  const sidecar = await openSidecar({ upstream: api.url, resources: { people: {} }, log, scanEveryMs: 0 })
  t.after(() => sidecar.close(0))
  const early = await fetch(`${sidecar.mirrorUrl}/people`)
  assert.deepEqual([early.status, early.headers.get('retry-after')], [503, '1'])
  while (api.requests.length === 0) await new Promise(setImmediate)
  goOn()
  await sidecar.ready
  assert.equal((await fetch(`${sidecar.mirrorUrl}/people`)).status, 200)
})
