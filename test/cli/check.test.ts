/** `lockstep check` as a program: what it is given, how it reports, and how it ends. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import type { CheckReport } from 'lockstep/check'
import { runProgram, temporaryFolder } from './program.ts'
import { openSystem } from './system.ts'

const few = ['--only', 'write', '--only', 'changes', '--only', 'messages']

test('before an API that keeps the protocol it passes, shows each check, and leaves nothing behind', async t => {
  const system = await openSystem(t, { root: '/api/v1', topicPrefix: 'acme/' })
  await system.put('ann', 'Ann')
  const { code, stdout } = await runProgram(t, ['check', system.api, '--broker', system.broker.url, ...few])
  assert.equal(code, 0, stdout)
  assert.match(stdout, /✓ write\.create +POST makes a resource/)
  assert.match(stdout, /✓ messages\.schema/)
  assert.match(stdout, /It keeps the protocol: 21 passed, 0 failed, 0 skipped/)
  const left = (await (await fetch(`${system.api}/people`)).json()) as { id: string }[]
  assert.deepEqual(
    left.map(({ id }) => id),
    ['ann'],
  )
})

test('reports are written as JSON to standard output, and as JUnit to a file; without a broker that is skipped', async t => {
  const system = await openSystem(t)
  const folder = await temporaryFolder(t, {
    'people.yaml': 'resources:\n  - path: /people\n    create: { name: Ann }\n    patch: { name: Bea }\n',
  })
  const resources = ['--resources', join(folder, 'people.yaml')]
  const json = await runProgram(t, ['check', system.api, ...resources, ...few, '--report', 'json'])
  assert.equal(json.code, 0, json.stdout)
  const report = JSON.parse(json.stdout) as CheckReport
  assert.deepEqual([report.ok, report.failed, report.collections], [true, 0, ['/people']])
  assert.equal(report.results.find(({ id }) => id === 'messages.order')?.note, 'no broker was given')
  const out = join(folder, 'check.xml')
  const junit = await runProgram(t, [
    'check',
    system.api,
    '--only',
    'write',
    '--report',
    'junit',
    '--out',
    out,
  ])
  assert.equal(junit.code, 0, junit.stdout)
  const xml = await readFile(out, 'utf8')
  assert.match(xml, /<testsuites tests="12" failures="0" errors="0" skipped="0"/)
  assert.match(xml, /<testcase classname="lockstep\.write" name="write\.no-op: /)
})

test('an API that does not keep it fails with 1, and each fault has its rule', async t => {
  const server = createServer((request, response) => {
    const isFeed = request.url!.includes('/_changes')
    const page = { stream: 'people', epoch: 'a', after: 0, to: 0, head: 0, first: 1, changes: [] }
    response.writeHead(request.method === 'GET' ? 200 : 501, { 'content-type': 'application/json' })
    response.end(JSON.stringify(isFeed ? page : []))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const api = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const folder = await temporaryFolder(t, {
    'a.json': '{"resources":[{"path":"/people","create":{"name":"Ann"}}]}',
  })
  const { code, stdout } = await runProgram(t, ['check', api, '--resources', join(folder, 'a.json'), ...few])
  assert.equal(code, 1)
  assert.match(
    stdout,
    /✗ write\.create .*\n +POST \/people was answered with 501 instead of 201\n +→ PROTOCOL\.md 4\.1, 4\.5/,
  )
  assert.match(stdout, /– changes\.once .*nothing was written/)
  assert.match(stdout, /It does not keep the protocol/)
})

test('what is called wrongly is 2, what cannot be judged 1, each with what to do', async t => {
  const system = await openSystem(t)
  const folder = await temporaryFolder(t, { 'a.json': '{"resources":[{"path":"people"}]}' })
  const cases: readonly [args: readonly string[], code: number, said: RegExp][] = [
    [['check'], 2, /missing required argument 'api'/],
    [['check', system.api, '--only', 'nothing'], 2, /There is no such check or group/],
    [['check', system.api, '--report', 'html'], 2, /text, json, junit/],
    [['check', system.api, '--resources', 'a', '--spec', 'b'], 2, /Give one of them/],
    [['check', `${system.api}/nothing`], 1, /--resources/],
    [
      ['check', system.api, '--resources', join(folder, 'a.json')],
      1,
      /the path of resources\[0\] is "people"/,
    ],
    [['check', 'http://127.0.0.1:1'], 1, /127\.0\.0\.1:1/],
    [['check', system.api, '--broker', 'mqtt://127.0.0.1:1'], 1, /127\.0\.0\.1:1/],
  ]
  await Promise.all(
    cases.map(async ([args, code, said]) => {
      const program = await runProgram(t, args)
      assert.equal(program.code, code, `${args.join(' ')}: ${program.stderr}`)
      assert.match(program.stderr, said)
    }),
  )
  const list = await runProgram(t, ['check', '--list'])
  assert.match(list.stdout, /^write\.no-op +a write that changes nothing .* \(3\.3\)$/m)
})
