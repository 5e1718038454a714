/** `lockstep follow` where its output is no terminal: lines, JSON, once; found from nothing but a URL. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { test } from 'node:test'
import type { JsonObject } from 'lockstep/contract'
import { openHttpServer } from 'lockstep/service'
import { type Program, runProgram, startProgram } from './program.ts'
import { openProxy } from './proxy.ts'
import { openSystem, people } from './system.ts'

function linesOf(program: Program): JsonObject[] {
  return program.stdout
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as JsonObject)
}

for (const source of ['feed', 'broker'] as const) {
  test(`a collection by its URL alone, over the ${source}: the whole first, then each change as a line`, async t => {
    const system = await openSystem(t, { root: '/api/v1', topicPrefix: 'acme/' })
    await system.put('ann', 'Ann')
    const broker = source === 'broker' ? ['--broker', system.broker.url] : []
    const follow = startProgram(t, ['follow', `${system.api}/people`, '--json', ...broker])
    await follow.printed(/status live/)
    await system.put('ann', 'Anna')
    await system.service.transaction(tx => tx.remove(people, 'ann'))
    await follow.printed(/"deleted"/)
    assert.equal(await follow.stop(), 0)
    const lines = linesOf(follow)
    assert.deepEqual(
      lines.map(({ event, path, version, state }) => ({ event, path, version, state })),
      [
        { event: 'refreshed', path: '/people', version: 0, state: [{ id: 'ann', name: 'Ann' }] },
        { event: 'modified', path: '/people/ann', version: 2, state: { id: 'ann', name: 'Anna' } },
        { event: 'deleted', path: '/people/ann', version: 3, state: undefined },
      ],
    )
    assert.match(String(lines[0]!['position']), /^people:\w+:1$/)
  })
}

test('a resource that does not exist yet is followed until it does', async t => {
  const system = await openSystem(t)
  const follow = startProgram(t, ['follow', `${system.api}/people/ann`])
  await follow.printed(
    /^\d\d:\d\d:\d\d\.\d{3} {2}refreshed {2}\/people\/ann {2}people:\w+:0 {2}there is none$/m,
  )
  const all = startProgram(t, ['follow', `${system.api}/people`])
  await all.printed(/refreshed {2}\/people {2}people:\w+:0 {2}0 resources$/m)
  await system.put('ann', 'Ann')
  await follow.printed(/created {2}\/people\/ann {2}v1 {2}\{"id":"ann","name":"Ann"\}$/m)
})

test('--once prints what is there and ends; what is not there has exit code 1', async t => {
  const system = await openSystem(t)
  await system.put('ann', 'Ann')
  await system.put('zoe', 'Zoe')
  const list = await runProgram(t, ['follow', `${system.api}/people`, '--once'])
  assert.deepEqual(list, {
    code: 0,
    stdout: '{"id":"ann","name":"Ann"}\n{"id":"zoe","name":"Zoe"}\n',
    stderr: '',
  })
  const one = await runProgram(t, ['follow', `${system.api}/people/zoe`, '--once', '--json'])
  assert.deepEqual(one, { code: 0, stdout: '{"id":"zoe","name":"Zoe"}\n', stderr: '' })
  const none = await runProgram(t, ['follow', `${system.api}/people/bob`, '--once'])
  assert.deepEqual(none, { code: 1, stdout: '', stderr: 'lockstep: There is no /people/bob.\n' })
})

test('an outage is said as stale, and its end as live', async t => {
  const system = await openSystem(t)
  const follow = startProgram(t, ['follow', `${system.api}/people`])
  await follow.printed(/status live/)
  await system.server.close(0)
  await follow.printed(/status stale since \d\d:\d\d:\d\d/)
  const again = await openHttpServer(system.service, { port: system.server.port })
  t.after(() => again.close(0))
  await follow.printedNext(/status live/)
})

test('an API root, a path that is not mirrored and an API that is not there are told apart', async t => {
  const system = await openSystem(t)
  const cases: readonly (readonly [url: string, said: RegExp])[] = [
    [system.api, /is an API root\. Name a collection or a resource: http:\S+\/people\./],
    [`${system.api}/nothing`, /without the headers of a mirrored resource.*lockstep doctor/],
    ['http://127.0.0.1:1/people', /^lockstep: GET http:\/\/127\.0\.0\.1:1\/people failed: /],
  ]
  for (const [url, said] of cases) {
    const { code, stderr } = await runProgram(t, ['follow', url])
    assert.equal(code, 1)
    assert.match(stderr, said)
  }
})

test('an API that is not as it should be at the start is said with what to do next', async t => {
  const closed = createServer().listen(0, '127.0.0.1')
  await once(closed, 'listening')
  const { port } = closed.address() as AddressInfo
  closed.close()
  const cutting = createTcpServer(socket => socket.destroy()).listen(0, '127.0.0.1')
  const refusing = createServer((request, response) => {
    response.writeHead(Number(request.url!.slice(1))).end()
  }).listen(0, '127.0.0.1')
  await Promise.all([once(cutting, 'listening'), once(refusing, 'listening')])
  t.after(() => {
    cutting.close()
    refusing.close()
  })
  const cut = (cutting.address() as AddressInfo).port
  const host = `127.0.0.1:${(refusing.address() as AddressInfo).port}`
  const cases: readonly (readonly [url: string, said: RegExp])[] = [
    [
      `http://127.0.0.1:${port}/people`,
      /nothing listens there\. Start the service there, or correct the address\.\n$/,
    ],
    [`https://${host}/200`, /it speaks http, not https\. Let the address begin with http:\/\/\.\n$/],
    [`http://127.0.0.1:${cut}/people`, /cut without an answer\. .* https:\/\/\.\n$/],
    [
      'http://127.0.0.1:6000/people',
      /never ask this port.*\. Correct the address, or let the service listen/,
    ],
    [`http://${host}/401`, /answered with 401\. Give credentials with --header/],
    [`http://${host}/500`, /answered with 500\. Read the service's log\.\n$/],
  ]
  for (const [url, said] of cases) {
    const { code, stderr } = await runProgram(t, ['follow', url])
    assert.equal(code, 1)
    assert.match(stderr, said)
    const doctor = await runProgram(t, ['doctor', url])
    assert.match(doctor.stdout, /^✗ API .*\n +→ \S/)
    assert.doesNotMatch(doctor.stdout + stderr, /routines|bad port|ECONN/)
  }
})

test('it finds the API root behind a proxy that adds a path', async t => {
  const system = await openSystem(t, { root: '/api' })
  await system.put('people', 'People')
  const proxy = await openProxy(t, system.server.url, {
    before: '/api',
    rewrite: headers => ({
      ...headers,
      ...(headers.link ? { link: String(headers.link).replaceAll('</api/', '</') } : {}),
    }),
  })
  const { code, stdout, stderr } = await runProgram(t, [
    'follow',
    `${proxy}/people/people?_=1`,
    '--once',
    '--json',
  ])
  assert.equal(code, 0, stderr)
  assert.equal(stdout, '{"id":"people","name":"People"}\n')
})
