/** Embeds from the own service and over REST from another one: PROTOCOL.md 10.10 to 10.12. */
import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { isLockstepError, parseMarker } from '../../src/contract/index.ts'
import { createNodeListener } from '../../src/service/http/node.ts'
import type { ReferenceOptions } from '../../src/service/reference.ts'
import { createRemoteResources } from '../../src/service/remote-resources.ts'
import { defineResource, type Resource } from '../../src/service/resource.ts'
import { type Answer, assertProblem, openTestService, type TestService } from '../support/service.ts'

const users = defineResource('users', {
  languages: ['en', 'fr'],
  schema: {
    type: 'object',
    properties: {
      name: { type: 'string' },
      motto: { type: 'string', translatable: true },
      age: { type: 'integer' },
    },
  },
})

function defineProjects(references: ReferenceOptions): Resource<object> {
  return defineResource('projects', {
    references,
    schema: {
      type: 'object',
      properties: {
        name: { type: 'string' },
        owner: { type: ['string', 'null'] },
        members: { type: 'array' },
        parts: { type: 'object', properties: { lead: { type: 'string' } } },
      },
    },
  }) as unknown as Resource<object>
}

const ownReferences = { owner: 'users', members: 'users', 'parts/lead': 'users' }
const atlas = { id: 'atlas', name: 'Atlas', owner: 'ann', members: ['ann', 'bob'] }

async function writeUsers(api: TestService): Promise<void> {
  const ann = { name: 'Ann', motto: { en: 'Go on', fr: 'Continue' }, age: 7 }
  assert.equal((await api.ask('PUT', '/users/ann', { body: ann })).status, 201)
  assert.equal((await api.ask('PUT', '/users/bob', { body: { name: 'Bob' } })).status, 201)
}

async function openOwn(): Promise<TestService> {
  const api = await openTestService({ resources: [users, defineProjects(ownReferences)] })
  await writeUsers(api)
  assert.equal((await api.ask('POST', '/projects', { body: atlas })).status, 201)
  return api
}

interface Other extends AsyncDisposable {
  /** Of the collection. */
  readonly url: string
  /** What was asked and answered, as "GET /users/ann 200". */
  readonly log: string[]
}

/** A server on a port of its own. */
async function serve(listener: RequestListener): Promise<Other> {
  const log: string[] = []
  const server = createServer((request, response) => {
    response.on('finish', () =>
      log.push(`${request.method} ${decodeURIComponent(request.url!)} ${response.statusCode}`),
    )
    listener(request, response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/users`,
    log,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

async function openProjects(references: ReferenceOptions): Promise<TestService> {
  const api = await openTestService({ resources: [defineProjects(references)] })
  assert.equal((await api.ask('POST', '/projects', { body: atlas })).status, 201)
  return api
}

const annWhole = { id: 'ann', name: 'Ann', motto: { en: 'Go on', fr: 'Continue' }, age: 7 }
const bobWhole = { id: 'bob', name: 'Bob' }

test('10.10 what is referred to stands beside the state, which stays as it is', async () => {
  await using api = await openOwn()
  const one = await api.ask('GET', '/projects/atlas?embed=owner,members')
  assert.deepEqual(one.json, { ...atlas, _embedded: { owner: annWhole, members: [annWhole, bobWhole] } })
  const list = await api.ask('GET', '/projects?embed=members')
  assert.deepEqual(list.json, [{ ...atlas, _embedded: { members: [annWhole, bobWhole] } }])
  assert.match(list.headers.get('link')!, /<\/users>; rel="embedded"; member="members"/)
  assert.deepEqual((await api.ask('GET', '/projects/atlas')).json, atlas)
})

test('10.10 a reference that leads to nothing is null, with the reason; one that is not there is left out', async () => {
  await using api = await openOwn()
  await api.ask('DELETE', '/users/bob')
  const body = { owner: null, members: ['bob', 'ann', 'zoe', 7, '..'], parts: { lead: 'zoe' } }
  await api.ask('PUT', '/projects/atlas', { body })
  const { json, status } = await api.ask('GET', '/projects/atlas?embed=owner,members,parts/lead')
  assert.equal(status, 200)
  assert.deepEqual(json._embedded, { members: [null, annWhole, null, null, null], 'parts/lead': null })
  assert.deepEqual(json._problems, [
    {
      pointer: '/_embedded/members/0',
      resource: '/users/bob',
      code: 'gone',
      status: 410,
      detail: 'The resource was deleted.',
    },
    {
      pointer: '/_embedded/members/2',
      resource: '/users/zoe',
      code: 'not-found',
      status: 404,
      detail: 'There is no such resource.',
    },
    {
      pointer: '/_embedded/members/3',
      resource: '/users/',
      code: 'invalid-id',
      status: 422,
      detail: 'The member holds no id.',
    },
    {
      pointer: '/_embedded/members/4',
      resource: '/users/..',
      code: 'not-found',
      status: 404,
      detail: 'There is no such resource.',
    },
    {
      pointer: '/_embedded/parts~1lead',
      resource: '/users/zoe',
      code: 'not-found',
      status: 404,
      detail: 'There is no such resource.',
    },
  ])
})

test('10.11 the marker bounds all streams of the response, and the tag changes with what is embedded', async () => {
  await using api = await openOwn()
  const ask = (headers: Record<string, string> = {}): Promise<Answer> =>
    api.ask('GET', '/projects/atlas?embed=owner', { headers })
  const before = await ask()
  const { epoch } = await api.log.head('users')
  const marker = parseMarker(before.headers.get('lockstep-marker')!)
  assert.deepEqual(
    marker.map(({ stream, seq }) => [stream, seq]),
    [
      ['projects', 1],
      ['users', 2],
    ],
  )
  const tag = before.headers.get('etag')!
  assert.equal((await ask({ 'if-none-match': tag })).status, 304)
  await api.ask('PATCH', '/users/bob', { body: { age: 1 } })
  assert.equal((await ask({ 'if-none-match': tag })).status, 304, 'Bob is not embedded')
  await api.ask('PATCH', '/users/ann', { body: { age: 8 } })
  const after = await ask({ 'if-none-match': tag })
  assert.deepEqual([after.status, after.json._embedded.owner.age], [200, 8])
  assert.ok(after.headers.get('lockstep-marker')!.endsWith(`users:${epoch}:4`))
  // The version is still that of the project.
  assert.equal(
    (await api.ask('PATCH', '/projects/atlas', { headers: { 'if-match': tag }, body: { name: 'A' } })).status,
    200,
  )
})

test('10.10 fields and language reach into what is embedded', async () => {
  await using api = await openOwn()
  const get = async (query: string, headers = {}) =>
    (await api.ask('GET', `/projects/atlas?${query}`, { headers })).json
  assert.deepEqual(await get('embed=owner&fields=name'), {
    id: 'atlas',
    name: 'Atlas',
    _embedded: { owner: annWhole },
  })
  assert.deepEqual(await get('embed=owner,members&fields=name,_embedded/members/name'), {
    id: 'atlas',
    name: 'Atlas',
    _embedded: { members: [{ name: 'Ann' }, { name: 'Bob' }] },
  })
  assert.equal((await get('embed=owner&lang=fr'))._embedded.owner.motto, 'Continue')
  assert.equal((await get('embed=owner&lang=de'))._embedded.owner.motto, 'Go on')
  assert.equal((await get('embed=owner', { 'accept-language': 'fr-CA' }))._embedded.owner.motto, 'Continue')
  assert.deepEqual((await get('embed=owner&lang=*', { 'accept-language': 'fr' }))._embedded.owner, annWhole)
  const french = await api.ask('GET', '/projects/atlas?embed=owner', { headers: { 'accept-language': 'fr' } })
  const whole = await api.ask('GET', '/projects/atlas?embed=owner')
  assert.notEqual(french.headers.get('etag'), whole.headers.get('etag'))
  assert.equal(whole.headers.get('vary'), 'Accept-Language')
})

test('10.10 embeds that are not declared are refused', async () => {
  await using api = await openOwn()
  for (const query of [
    'embed=',
    'embed=name',
    'embed=owner,',
    'embed=constructor',
    'lang=fr',
    'embed=owner&lang=f%0Ar',
    'embed=owner&fields=_embedded/members',
    'fields=_embedded',
  ])
    assertProblem(await api.ask('GET', `/projects/atlas?${query}`), 400, 'invalid-query')
  assertProblem(await api.ask('GET', '/users/ann?embed=owner'), 400, 'invalid-query')
  assertProblem(await api.ask('PATCH', '/projects/atlas?embed=owner', { body: {} }), 400, 'invalid-query')
})

test('10.12 a page embeds at most a thousand resources', async () => {
  await using api = await openOwn()
  const members = Array.from({ length: 501 }, (_, index) => `u${index}`)
  await api.ask('PUT', '/projects/one', { body: { members } })
  assert.equal((await api.ask('GET', '/projects?embed=members')).status, 200)
  await api.ask('PUT', '/projects/two', { body: { members: members.map(id => `x${id}`) } })
  assertProblem(await api.ask('GET', '/projects?embed=members'), 422, 'list-too-large')
  assert.equal((await api.ask('GET', '/projects?embed=members&limit=2')).status, 200)
})

test('10.11 resources of another service come by one request for all, and by none where nothing changed', async () => {
  await using far = await openTestService({ resources: [users] })
  await writeUsers(far)
  await using other = await serve(createNodeListener(far.service))
  await using api = await openProjects({ owner: other.url, members: { url: other.url } })
  const first = await api.ask('GET', '/projects/atlas?embed=members')
  assert.deepEqual(first.json, { ...atlas, _embedded: { members: [annWhole, bobWhole] } })
  assert.deepEqual(other.log, ['GET /users?limit=50&id:in=ann,bob 200'])
  assert.deepEqual(
    parseMarker(first.headers.get('lockstep-marker')!).map(({ stream, seq }) => [stream, seq]),
    [
      ['projects', 1],
      ['users', 2],
    ],
  )
  const again = await api.ask('GET', '/projects/atlas?embed=members')
  assert.deepEqual([again.text, again.headers.get('etag')], [first.text, first.headers.get('etag')])
  assert.equal(other.log.at(-1), 'GET /users?limit=50&id:in=ann,bob 304')
  await far.ask('PATCH', '/users/bob', { body: { name: 'Rob' } })
  const changed = await api.ask('GET', '/projects/atlas?embed=owner,members', {
    headers: { 'if-none-match': first.headers.get('etag')! },
  })
  assert.deepEqual([changed.status, changed.json._embedded.members[1].name], [200, 'Rob'])
  assert.ok(other.log.includes('GET /users/ann 200'))
  assert.match(changed.headers.get('lockstep-marker')!, /users:\w+:3$/)
  const french = await api.ask('GET', '/projects/atlas?embed=owner', { headers: { 'accept-language': 'fr' } })
  assert.equal(french.json._embedded.owner.motto, 'Continue')
})

test('10.11 references to one place are read at once, and what is absent there bounds the marker too', async () => {
  await using far = await openTestService({ resources: [users] })
  await writeUsers(far)
  await using other = await serve(createNodeListener(far.service))
  await using api = await openProjects({ owner: other.url, members: other.url })
  const { json } = await api.ask('GET', '/projects/atlas?embed=owner,members')
  assert.deepEqual(json._embedded, { owner: annWhole, members: [annWhole, bobWhole] })
  assert.equal(other.log.length, 1)
  for (const members of [['zoe'], ['zoe', 'zac']]) {
    await api.ask('PUT', '/projects/atlas', { body: { members } })
    const absent = await api.ask('GET', '/projects/atlas?embed=members')
    assert.equal(absent.json._problems.length, members.length)
    assert.match(absent.headers.get('lockstep-marker')!, /,users:\w+:2$/)
  }
})

test('10.11 ids that cannot stand in a list by themselves, and hundreds of them, find their resources', async () => {
  await using far = await openTestService({ resources: [users] })
  const ids = ['a,b', '100%', 'é&?#', 'x/y', ...Array.from({ length: 120 }, (_, index) => `user-${index}`)]
  for (const id of ids) await far.ask('POST', '/users', { body: { id, name: id } })
  await using other = await serve(createNodeListener(far.service))
  await using api = await openProjects({ members: other.url })
  await api.ask('PUT', '/projects/atlas', { body: { members: [...ids, 'nobody'] } })
  const { json } = await api.ask('GET', '/projects/atlas?embed=members')
  assert.deepEqual(
    json._embedded.members.map((user: { name: string } | null) => user?.name),
    [...ids, undefined],
  )
  assert.deepEqual(
    json._problems.map(({ pointer, code }: { pointer: string; code: string }) => [pointer, code]),
    [['/_embedded/members/124', 'not-found']],
  )
  assert.equal(other.log.length, 3)
})

test('10.11 where the other list cannot give single items they are asked for one by one, and conditionally', async () => {
  // Passes over what it does not know and says no marker: its list could be anything.
  await using other = await serve((request, response) => {
    const id = /^\/users\/(\w+)$/.exec(request.url!)?.[1]
    response.setHeader('etag', '"v1"')
    if (id === 'zoe') response.writeHead(404).end()
    else if (request.headers['if-none-match'] === '"v1"') response.writeHead(304).end()
    else response.end(JSON.stringify(id === undefined ? [{ id: 'else' }] : { id, name: id.toUpperCase() }))
  })
  await using api = await openProjects({ members: other.url })
  await api.ask('PATCH', '/projects/atlas', { body: { members: ['ann', 'bob', 'zoe'] } })
  for (const status of [200, 304]) {
    other.log.length = 0
    const { json, headers } = await api.ask('GET', '/projects/atlas?embed=members')
    assert.deepEqual(json._embedded.members, [{ id: 'ann', name: 'ANN' }, { id: 'bob', name: 'BOB' }, null])
    assert.equal(json._problems[0].code, 'not-found')
    const singles = other.log.filter(line => !line.includes('id:in')).sort()
    assert.deepEqual(singles, [`GET /users/ann ${status}`, `GET /users/bob ${status}`, 'GET /users/zoe 404'])
    assert.equal(other.log.length, status === 200 ? 4 : 3, 'the list is asked for once')
    assert.match(headers.get('lockstep-marker')!, /^projects:\w+:2$/)
  }
})

test('10.12 a service that is down, refuses, answers nonsense or hangs takes nothing else along', async () => {
  await using far = await openTestService({ resources: [users] })
  await writeUsers(far)
  await using good = await serve(createNodeListener(far.service))
  let mode = 'hang'
  await using bad = await serve((_request, response) => {
    if (mode === 'hang') return
    if (mode === 'cut') response.destroy()
    else if (mode === 'nonsense') response.setHeader('lockstep-marker', 'a:b:1').end('[{]')
    else response.writeHead(Number(mode)).end()
  })
  const gone = await serve(() => {})
  await gone[Symbol.asyncDispose]()
  for (const [next, url, code] of [
    ['hang', bad.url, 'timeout'],
    ['cut', bad.url, 'api-unreachable'],
    ['nonsense', bad.url, 'api-refused'],
    ['500', bad.url, 'api-refused'],
    ['503', bad.url, 'api-refused'],
    ['401', bad.url, 'api-refused'],
    ['gone', gone.url, 'api-unreachable'],
  ] as const) {
    mode = next
    await using api = await openProjects({ owner: good.url, members: { url, timeoutMs: 200 } })
    const { status, json, headers } = await api.ask('GET', '/projects/atlas?embed=owner,members')
    assert.equal(status, 200)
    assert.deepEqual(json._embedded, { owner: annWhole, members: [null, null] }, mode)
    assert.deepEqual(
      json._problems.map((problem: { pointer: string; resource: string; code: string }) => [
        problem.pointer,
        problem.resource,
        problem.code,
      ]),
      [
        ['/_embedded/members/0', `${url}/ann`, code],
        ['/_embedded/members/1', `${url}/bob`, code],
      ],
      mode,
    )
    assert.match(headers.get('lockstep-marker')!, /^projects:\w+:1,users:\w+:2$/)
    const tag = headers.get('etag')!
    const [told, ...others] = api.errors.splice(0)
    assert.ok(isLockstepError(told?.error, code))
    assert.deepEqual([told.stage, others], ['embed', []])
    mode = 'cut'
    const other = await api.ask('GET', '/projects/atlas?embed=owner,members', {
      headers: { 'if-none-match': tag },
    })
    assert.equal(other.status === 304, code === 'api-unreachable', 'the reason is in the tag')
  }
})

test('10.12 a service that is down is told of once, and again when it has been back', async () => {
  await using far = await openTestService({ resources: [users] })
  await writeUsers(far)
  const listener = createNodeListener(far.service)
  let isDown = true
  await using other = await serve((request, response) => {
    if (isDown) response.writeHead(500).end()
    else listener(request, response)
  })
  await using api = await openProjects({ owner: other.url })
  const ask = async (down: boolean): Promise<number> => {
    isDown = down
    const { json } = await api.ask('GET', '/projects/atlas?embed=owner')
    assert.equal(json._embedded.owner === null, down)
    return api.errors.splice(0).length
  }
  assert.deepEqual([await ask(true), await ask(true), await ask(false), await ask(true)], [1, 0, 0, 1])
})

test('10.12 what is read with one set of headers is not shown where another one is sent', async () => {
  await using other = await serve((request, response) => {
    response.setHeader('etag', '"same"')
    if (request.headers['if-none-match'] === '"same"') response.writeHead(304).end()
    else response.end(JSON.stringify({ id: 'ann', seenBy: request.headers.authorization ?? 'nobody' }))
  })
  const headers = () => ({ authorization: 'secret' })
  await using api = await openProjects({ owner: { url: other.url, headers }, 'parts/lead': other.url })
  await api.ask('PATCH', '/projects/atlas', { body: { parts: { lead: 'ann' } } })
  for (let round = 0; round < 2; round++) {
    const { json } = await api.ask('GET', '/projects/atlas?embed=owner,parts/lead', {
      headers: { authorization: 'of the client', cookie: 'a=b' },
    })
    assert.equal(json._embedded.owner.seenBy, 'secret')
    assert.equal(json._embedded['parts/lead'].seenBy, 'nobody')
  }
})

test('10.12 an id with a slash leads to no other path of the other service', async () => {
  await using other = await serve((request, response) => {
    response.end(JSON.stringify(request.url!.includes('?') ? [] : { id: 'x', path: request.url }))
  })
  await using api = await openProjects({ owner: other.url })
  for (const owner of ['../admin', '..\\admin', 'a/b']) {
    await api.ask('PATCH', '/projects/atlas', { body: { owner } })
    const { json } = await api.ask('GET', '/projects/atlas?embed=owner')
    assert.deepEqual([json._embedded.owner, json._problems[0].code], [null, 'not-found'])
  }
  assert.ok(
    other.log.every(line => line.startsWith('GET /users?')),
    other.log.join(),
  )
})

test('10.11 a stream of the same name with another history cannot be in the same marker', async () => {
  await using far = await openTestService({ resources: [users] })
  await writeUsers(far)
  await using other = await serve(createNodeListener(far.service))
  await using api = await openTestService({
    resources: [users, defineProjects({ owner: 'users', members: other.url })],
  })
  await writeUsers(api)
  await api.ask('POST', '/projects', { body: atlas })
  const { json } = await api.ask('GET', '/projects/atlas?embed=owner,members')
  assert.deepEqual(json._embedded, { owner: annWhole, members: [null, null] })
  assert.equal(json._problems[0].code, 'api-refused')
})

test('5.2 what would make the marker longer than a marker may be is left out', async () => {
  const streams = Array.from({ length: 32 }, (_, index) => `users${index}:k3f9:1`).join(',')
  await using other = await serve((_request, response) => {
    response.setHeader('lockstep-marker', streams).end('{"id":"ann"}')
  })
  await using api = await openProjects({ owner: other.url })
  const { json, headers } = await api.ask('GET', '/projects/atlas?embed=owner')
  assert.equal(json._embedded.owner, null)
  assert.equal(json._problems[0].code, 'api-refused')
  assert.equal(parseMarker(headers.get('lockstep-marker')!).length, 1)
})

test('10.12 a list that could not give single items once is asked for them again after a while', async () => {
  let isStarting = true
  await using other = await serve((request, response) => {
    if (isStarting) return response.writeHead(404).end()
    const ids = new URL(request.url!, 'http://x').searchParams.get('id:in')?.split(',')
    response.setHeader('lockstep-marker', 'users:k3f9:1')
    return response.end(JSON.stringify(ids?.map(id => ({ id })) ?? { id: request.url!.split('/').at(-1) }))
  })
  let now = 0
  const { read } = createRemoteResources(
    new AbortController().signal,
    () => {},
    () => now,
  )
  const collection = { url: other.url, timeoutMs: 20_000, headers: () => ({}) }
  await read(collection, ['ann', 'bob'], '*')
  isStarting = false
  for (const [atMs, requests] of [
    [59_000, 2],
    [60_000, 1],
    [61_000, 1],
  ] as const) {
    now = atMs
    other.log.length = 0
    const finds = await read(collection, ['ann', 'bob'], '*')
    assert.ok([...finds.values()].every(find => 'state' in find))
    assert.equal(other.log.length, requests)
  }
})

test('10.12 who asks for what another one has asked for already has all of its own time', async () => {
  let requests = 0
  await using other = await serve((_request, response) => {
    requests++
    if (requests > 1) response.end('{"id":"ann"}')
  })
  const { read } = createRemoteResources(new AbortController().signal, () => {})
  const collection = { url: other.url, headers: () => ({}) }
  const first = read({ ...collection, timeoutMs: 100 }, ['ann'], '*')
  const second = read({ ...collection, timeoutMs: 20_000 }, ['ann'], '*')
  const [early, late] = [(await first).get('ann')!, (await second).get('ann')!]
  assert.equal('miss' in early && early.miss.code, 'timeout')
  assert.deepEqual('state' in late && late.state, { id: 'ann' })
})

test('10.11 a stream that begins anew between two reads is read again from the start', async () => {
  await using api = await openOwn()
  const readResource = api.log.readResource.bind(api.log)
  let renewals = 0
  api.log.readResource = async path => {
    if (path === '/users/bob' && renewals++ === 0) await api.log.renewEpoch('users')
    return await readResource(path)
  }
  const { status, json, headers } = await api.ask('GET', '/projects/atlas?embed=members')
  assert.deepEqual([status, json._embedded.members.length, renewals], [200, 2, 2])
  const { epoch } = await api.log.head('users')
  assert.ok(headers.get('lockstep-marker')!.endsWith(`users:${epoch}:0`))
})

test('10.10 references that lead nowhere are refused when they are declared', async () => {
  for (const references of [
    { nobody: 'users' },
    { name: 'users/{user}/friends' },
    { owner: '' },
    { owner: '/users' },
    { owner: 'ftp://users.test/users' },
    { owner: 'http://users.test/' },
    { owner: 'http://users.test/users?x=1' },
    { owner: 'http://ann:secret@users.test/users' },
    { owner: { url: 'http://users.test/users', timeoutMs: 0 } },
    { owner: { url: 'http://users.test/users', retries: 3 } },
    'users',
    ['users'],
    { owner: null },
    { 'parts//lead': 'users' },
    { parts: 'users' },
    { 'own%65r': 'users' },
    Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`r${index}`, 'users'])),
  ] as unknown as readonly ReferenceOptions[]) {
    const shown = JSON.stringify(references)
    assert.throws(
      () => defineProjects(references),
      error => isLockstepError(error, 'invalid-option'),
      shown,
    )
  }
  await assert.rejects(
    openTestService({ resources: [defineProjects({ owner: 'users' })] }),
    /refers to "users", which is not among/,
  )
})
