/** The same application in each framework, and the same mirror inside of it. */
import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type TestContext, test } from 'node:test'
import Router from '@koa/router'
import express from 'express'
import { fastify } from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'
import { createMemoryLog } from '../../src/log/index.ts'
import {
  createFastifyPlugin,
  createHonoMiddleware,
  createKoaMiddleware,
  createMirroredFetch,
  createMirroredListener,
  createNodeMiddleware,
  type Mirror,
  openMirror,
} from '../../src/middleware/index.ts'
import { listenWith, People, peopleRoutes, readJson, type State } from '../support/mirrored-app.ts'

type Ask = (request: Request) => Response | Promise<Response>

interface App {
  readonly listener?: (request: IncomingMessage, response: ServerResponse) => unknown
  readonly fetch?: Ask
}

const frameworks: Record<string, (people: People, mirror: () => Mirror) => App | Promise<App>> = {
  'node:http'(people, mirror) {
    const routes = peopleRoutes(people)
    return { listener: (request, response) => createMirroredListener(mirror(), routes)(request, response) }
  },
  Express(people, mirror) {
    const app = express()
    app.use(createNodeMiddleware(mirror())).use(express.json())
    app.get('/people', (_, response) => void response.json([...people.rows.values()]))
    app.post('/people', async (request, response) => {
      const state = await people.create(request.body as State)
      response.status(201).json(state)
    })
    app.get('/people/:id', ({ params }, response) => {
      const state = people.rows.get(params.id)
      if (state === undefined) response.sendStatus(404)
      else response.json(state)
    })
    app.put(
      '/people/:id',
      async ({ params, body }, response) => void response.json(await people.put(params.id, body)),
    )
    app.delete('/people/:id', async ({ params }, response) => {
      response.sendStatus((await people.remove(params.id)) ? 204 : 404)
    })
    app.post('/people/:id/fail', async ({ params, body }) => {
      await people.put(params.id, body)
      throw new Error('after the commit')
    })
    app.use(
      (_error: unknown, _request: unknown, response: express.Response, _next: unknown) =>
        void response.sendStatus(500),
    )
    return { listener: app }
  },
  async Fastify(people, mirror) {
    const app = fastify()
    app.register(createFastifyPlugin(mirror()))
    app.get('/people', () => [...people.rows.values()])
    app.post('/people', async ({ body }, reply) => reply.code(201).send(await people.create(body as State)))
    app.get<{ Params: { id: string } }>('/people/:id', ({ params }, reply) => {
      const state = people.rows.get(params.id)
      return state === undefined ? reply.code(404).send() : reply.send(state)
    })
    app.put<{ Params: { id: string } }>('/people/:id', ({ params, body }) =>
      people.put(params.id, body as State),
    )
    app.delete<{ Params: { id: string } }>('/people/:id', async ({ params }, reply) =>
      reply.code((await people.remove(params.id)) ? 204 : 404).send(),
    )
    app.post<{ Params: { id: string } }>('/people/:id/fail', async ({ params, body }) => {
      await people.put(params.id, body as State)
      throw new Error('after the commit')
    })
    await app.ready()
    return { listener: (request, response) => app.routing(request, response) }
  },
  Hono(people, mirror) {
    const app = new Hono()
    app.use(createHonoMiddleware(mirror()))
    app.get('/people', context => context.json([...people.rows.values()]))
    app.post('/people', async context => context.json(await people.create(await context.req.json()), 201))
    app.get('/people/:id', context => {
      const state = people.rows.get(context.req.param('id'))
      return state === undefined ? context.notFound() : context.json(state)
    })
    app.put('/people/:id', async context =>
      context.json(await people.put(context.req.param('id'), await context.req.json())),
    )
    app.delete('/people/:id', async context => {
      const isGone = await people.remove(context.req.param('id'))
      return context.body(null, isGone ? 204 : 404)
    })
    app.post('/people/:id/fail', async context => {
      await people.put(context.req.param('id'), await context.req.json())
      throw new Error('after the commit')
    })
    app.onError((_, context) => context.text('failed', 500))
    return { fetch: request => app.fetch(request) }
  },
  Koa(people, mirror) {
    const app = new Koa()
    app.silent = true
    const router = new Router()
    router.get('/people', context => {
      context.body = [...people.rows.values()]
    })
    router.post('/people', async context => {
      context.body = await people.create(await readJson(context.req))
      context.status = 201
    })
    router.get('/people/:id', context => {
      context.body = people.rows.get(context.params['id']!)
      if (context.body === undefined) context.status = 404
    })
    router.put('/people/:id', async context => {
      context.body = await people.put(context.params['id']!, await readJson(context.req))
    })
    router.delete('/people/:id', async context => {
      context.status = (await people.remove(context.params['id']!)) ? 204 : 404
    })
    router.post('/people/:id/fail', async context => {
      await people.put(context.params['id']!, await readJson(context.req))
      throw new Error('after the commit')
    })
    app.use(createKoaMiddleware(mirror())).use(router.routes())
    return { listener: app.callback() }
  },
  fetch(people, mirror) {
    const handler: Ask = async request => {
      const [, , id] = new URL(request.url).pathname.split('/')
      if (request.method === 'POST' && id !== undefined) {
        await people.put(id, (await request.json()) as State)
        return new Response(null, { status: 500 })
      }
      if (request.method === 'POST')
        return Response.json(await people.create((await request.json()) as State), { status: 201 })
      if (id === undefined) return Response.json([...people.rows.values()])
      if (request.method === 'PUT')
        return Response.json(await people.put(id, (await request.json()) as State))
      if (request.method === 'DELETE')
        return new Response(null, { status: (await people.remove(id)) ? 204 : 404 })
      const state = people.rows.get(id)
      return state === undefined ? new Response(null, { status: 404 }) : Response.json(state)
    }
    return { fetch: createMirroredFetch(mirror(), handler) }
  },
}

async function open(t: TestContext, name: string): Promise<{ people: People; mirror: Mirror; ask: Ask }> {
  const people = new People()
  const log = createMemoryLog()
  let app: App = {}
  const isFetch = name === 'Hono' || name === 'fetch'
  const mirror = await openMirror({
    resources: { people: {} },
    log,
    ...(isFetch
      ? { fetch: request => app.fetch!(request) }
      : { listener: (request, response) => app.listener!(request, response) }),
  })
  t.after(async () => {
    await mirror.close()
    await log.close()
  })
  app = await frameworks[name]!(people, () => mirror)
  if (app.fetch !== undefined) return { people, mirror, ask: app.fetch }
  const url = await listenWith(
    t,
    createServer((request, response) => void app.listener!(request, response)),
  )
  const ask: Ask = request => {
    const { pathname, search } = new URL(request.url)
    return fetch(`${url}${pathname}${search}`, new Request(request))
  }
  return { people, mirror, ask }
}

for (const name of Object.keys(frameworks)) {
  test(`${name}: writes are changes, with markers, tags and a feed`, async t => {
    const { people, mirror, ask } = await open(t, name)
    people.rows.set('old', { id: 'old', name: 'Old' })
    await mirror.start()
    const call = async (
      method: string,
      path: string,
      body?: object,
      headers: Record<string, string> = {},
    ): Promise<Response> =>
      await ask(
        new Request(`http://localhost${path}`, {
          method,
          headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        }),
      )
    const created = await call('POST', '/people', { name: 'Ann' })
    assert.equal(created.status, 201)
    assert.deepEqual(await created.json(), { id: '1', name: 'Ann' })
    assert.match(created.headers.get('lockstep-marker')!, /^people:\w+:2$/)
    assert.match(created.headers.get('etag')!, /^"\w+\.1"$/)
    assert.equal(created.headers.get('lockstep-topic'), 'people/1')
    assert.equal(created.headers.get('link'), '</_mirror/people/_changes>; rel="changes"')
    const put = await call('PUT', '/people/1', { name: 'Anna' })
    const etag = put.headers.get('etag')!
    assert.match(etag, /^"\w+\.2"$/)
    assert.deepEqual(await put.json(), { id: '1', name: 'Anna' })
    const read = await call('GET', '/people/1')
    assert.equal(read.headers.get('etag'), etag)
    assert.deepEqual(await read.json(), { id: '1', name: 'Anna' })
    const same = await call('GET', '/people/1', undefined, { 'if-none-match': etag })
    assert.equal(same.status, 304)
    const list = await call('GET', '/people')
    assert.match(list.headers.get('lockstep-marker')!, /:3$/)
    assert.equal(((await list.json()) as []).length, 2)
    const removed = await call('DELETE', '/people/1')
    assert.equal(removed.status, 204)
    assert.match(removed.headers.get('lockstep-marker')!, /:4$/)
    assert.equal((await call('DELETE', '/people/1')).status, 404)
    assert.equal((await call('GET', '/people/1')).status, 404)
    const page = await call('GET', '/_mirror/people/_changes')
    assert.equal(page.status, 200)
    const { changes } = (await page.json()) as { changes: { event: string; resource: string }[] }
    assert.deepEqual(
      changes.map(({ event, resource }) => `${event} ${resource}`),
      ['created /people/old', 'created /people/1', 'modified /people/1', 'deleted /people/1'],
    )
  })

  if (name === 'node:http') continue
  test(`${name}: what a handler changed before it failed is seen`, async t => {
    const { mirror, ask } = await open(t, name)
    await mirror.start()
    const init = { method: 'POST', body: '{"name":"Ann"}', headers: { 'content-type': 'application/json' } }
    const failed = await ask(new Request('http://localhost/people/ann/fail', init))
    assert.equal(failed.status, 500)
    await mirror.look('/people/ann')
    const page = await ask(new Request('http://localhost/_mirror/people/ann'))
    assert.deepEqual(await page.json(), { id: 'ann', name: 'Ann' })
  })
}
