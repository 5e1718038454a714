/** Faces, admission and own pages: what each of them is asked, in which order, and what a client is told. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import type { Admitter, GatewayRequest, OwnPages, Visibility } from 'lockstep/gateway'
import { WebSocket } from 'ws'
import { openTestGateway, openTestService } from './stage.ts'

const get = async (url: string, headers: Record<string, string> = {}): Promise<[number, string]> => {
  const response = await fetch(url, { headers })
  return [response.status, await response.text()]
}

test('a face answers for what it shows, and 404 for everything else; without documents the public one shows nothing', async t => {
  const service = await openTestService(t, (_request, response) => response.end('here'))
  const settings = {
    faces: { internal: {}, public: { root: '/public/{version}' } },
    services: { people: { instances: [service.url] } },
  }
  const asked: string[] = []
  const visibility: Visibility = {
    isVisible(face, name, method, path) {
      asked.push(`${face} ${name} ${method} ${path}`)
      return face === 'internal' || (method === 'GET' && path === '/people')
    },
  }
  const gateway = await openTestGateway(t, settings, { visibility })
  const url = gateway.urls['public']!
  assert.deepEqual(await get(`${url}/public/v1/people`), [200, 'here'])
  assert.equal((await get(`${url}/public/v1/people/1`))[0], 404)
  assert.equal((await fetch(`${url}/public/v1/people`, { method: 'POST' })).status, 404)
  assert.equal((await get(`${url}/api/v1/people/1`))[0], 200)
  assert.deepEqual(asked, [
    'public people GET /people',
    'public people GET /people/1',
    'public people POST /people',
    'internal people GET /people/1',
  ])
  const everywhere = {
    ...settings,
    services: { people: { instances: [service.url], at: ['/'], faces: ['public'] } },
  }
  const hidden = await openTestGateway(
    t,
    { ...everywhere, faces: { public: { root: '/public' } } },
    { visibility },
  )
  const socket = new WebSocket(`${hidden.urls['public']!.replace('http', 'ws')}/live`)
  const [, answer] = await once(
    socket.on('error', () => {}),
    'unexpected-response',
  )
  assert.equal(answer.statusCode, 404)
  const closed = await openTestGateway(t, settings)
  assert.equal((await get(`${closed.urls['public']}/public/v1/people`))[0], 404)
  assert.equal((await get(`${closed.urls['internal']}/api/v1/people`))[0], 200)
})

test('a face has a port or a host of its own, and is not reached through another one', async t => {
  const service = await openTestService(t, (_request, response) => response.end('here'))
  const visibility: Visibility = { isVisible: () => true }
  const faces: string[] = []
  const admitter: Admitter = {
    admit: ({ face, service: name }) => {
      if (name !== undefined) faces.push(face)
      return {}
    },
    close: async () => {},
  }
  const gateway = await openTestGateway(
    t,
    {
      faces: { internal: {}, public: { port: 0, root: '/v1' } },
      services: { people: { instances: [service.url] } },
      root: '/api',
    },
    { visibility, admitter },
  )
  assert.notEqual(gateway.urls['internal'], gateway.urls['public'])
  assert.equal((await get(`${gateway.urls['public']}/v1/people`))[0], 200)
  assert.equal((await get(`${gateway.urls['public']}/api/people`))[0], 404)
  assert.equal((await get(`${gateway.urls['internal']}/api/people`))[0], 200)
  assert.equal((await get(`${gateway.urls['internal']}/v1/people`))[0], 404)
  assert.deepEqual(faces, ['public', 'internal'])
})

test('admission may refuse, sets fields on both sides, and is asked about WebSockets too', async t => {
  const service = await openTestService(t)
  const requests: GatewayRequest[] = []
  let closed = 0
  const admitter: Admitter = {
    async admit(request) {
      requests.push(request)
      const isKnown = request.headers['x-api-key'] === 'good'
      const responseHeaders = { 'ratelimit-policy': '"p";q=1', vary: 'Origin' }
      if (!isKnown)
        return {
          responseHeaders,
          refused: { status: 401, headers: { 'www-authenticate': 'Bearer' }, body: 'no' },
        }
      return { responseHeaders, requestHeaders: { 'lockstep-audience': 'signed', 'x-api-key': undefined } }
    },
    preflight: request =>
      request.headers['access-control-request-method'] === undefined
        ? undefined
        : { status: 204, headers: { 'x-preflight': '1' } },
    close: async () => void closed++,
  }
  const gateway = await openTestGateway(
    t,
    { services: { people: { instances: [service.url] } } },
    { admitter },
  )
  const url = `${gateway.urls['internal']}/api/v1/people/1`
  const refused = await fetch(url, { headers: { 'lockstep-audience': 'forged' } })
  assert.deepEqual(
    [
      refused.status,
      refused.headers.get('www-authenticate'),
      refused.headers.get('vary'),
      await refused.text(),
    ],
    [401, 'Bearer', 'Origin', 'no'],
  )
  assert.equal(requests[0]?.headers['lockstep-audience'], undefined)
  const allowed = await fetch(`${url}?a=b`, {
    headers: { 'x-api-key': 'good', 'lockstep-audience': 'forged' },
  })
  const { headers } = (await allowed.json()) as { headers: Record<string, string> }
  assert.deepEqual(
    [headers['lockstep-audience'], headers['x-api-key'], allowed.headers.get('ratelimit-policy')],
    ['signed', undefined, '"p";q=1'],
  )
  const { method, path, query, face, service: name, pathInService, remoteAddress } = requests[1]!
  assert.deepEqual(
    [method, path, query, face, name, pathInService, remoteAddress],
    ['GET', '/api/v1/people/1', 'a=b', 'internal', 'people', '/people/1', '127.0.0.1'],
  )
  const socket = new WebSocket(url.replace('http', 'ws'))
  const [, answer] = await once(
    socket.on('error', () => {}),
    'unexpected-response',
  )
  assert.deepEqual([answer.statusCode, answer.headers['www-authenticate']], [401, 'Bearer'])
  const preflight = await fetch(url, {
    method: 'OPTIONS',
    headers: { 'access-control-request-method': 'GET' },
  })
  assert.deepEqual([preflight.status, preflight.headers.get('x-preflight')], [204, '1'])
  assert.equal(service.requests.length, 1)
  await gateway.close()
  await gateway.close()
  assert.equal(closed, 1)
})

test('own pages stand before the legacy program and behind the services; a part that fails is said and answered with 500', async t => {
  const legacy = await openTestService(t, (_request, response) => response.end('legacy'))
  const people = await openTestService(t, (_request, response) => response.end('people'))
  const ownPages: OwnPages = {
    async answer({ path }) {
      if (path === '/broken') throw new Error('secret')
      return path.startsWith('/docs') || path.startsWith('/api/v1/people')
        ? { status: 200, body: 'docs' }
        : undefined
    },
    close: async () => {},
  }
  const errors: unknown[] = []
  const gateway = await openTestGateway(
    t,
    { services: { people: { instances: [people.url] } }, legacy: { instances: [legacy.url] } },
    { ownPages, onError: error => errors.push(error) },
  )
  const url = gateway.urls['internal']!
  assert.deepEqual(await get(`${url}/docs`), [200, 'docs'])
  assert.deepEqual(await get(`${url}/api/v1/people`), [200, 'people'])
  assert.deepEqual(await get(`${url}/other`), [200, 'legacy'])
  const [status, body] = await get(`${url}/broken`)
  assert.equal(status, 500)
  assert.doesNotMatch(body, /secret/)
  assert.match(String(errors[0]), /secret/)
})

test('the admin port tells health, metrics and routes, and nothing else', async t => {
  const service = await openTestService(t)
  const gateway = await openTestGateway(t, {
    admin: { port: 0 },
    services: { people: { instances: [service.url] } },
  })
  for (let index = 0; index < 3; index++) await get(`${gateway.urls['internal']}/api/v1/people`)
  await get(`${gateway.urls['internal']}/api/v1/people%00`)
  const [, metrics] = await get(`${gateway.adminUrl}/metrics`)
  const labels = 'face="internal",version="v1",service="people",route="/api/v1/people"'
  assert.ok(metrics.includes(`lockstep_gateway_requests_total{${labels},status="2xx"} 3\n`), metrics)
  assert.ok(metrics.includes(`lockstep_gateway_request_duration_seconds_bucket{${labels},le="+Inf"} 3\n`))
  assert.ok(metrics.includes(`lockstep_gateway_instance_up{service="people",instance="${service.url}"} 1\n`))
  assert.equal(JSON.parse((await get(`${gateway.adminUrl}/health`))[1]).status, 'ok')
  assert.equal(JSON.parse((await get(`${gateway.adminUrl}/routes`))[1]).routes[0].requests, 3)
  assert.equal((await get(`${gateway.adminUrl}/`))[0], 404)
  assert.equal((await fetch(`${gateway.adminUrl}/health`, { method: 'POST' })).status, 405)
})
