/** `lockstep gateway` as a program: it routes, logs, reloads, checks its file and reports. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { freePort } from '../support/broker-program.ts'
import { runProgram, startProgram, temporaryFolder } from './program.ts'

async function openAnswering(t: TestContext, text: string): Promise<string> {
  const server = createServer((_request, response) => response.end(text)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('lockstep gateway routes as its file says, takes over changes, keeps what runs where the file is faulty, and ends by Ctrl-C', async t => {
  const [first, second] = [await openAnswering(t, 'first'), await openAnswering(t, 'second')]
  const admin = await freePort()
  const file = (instance: string, more = ''): string =>
    `listen: { port: 0 }\nadmin: { port: ${admin} }\nservices:\n  people:\n    instances: [${instance}]\n${more}`
  const cwd = await temporaryFolder(t, { 'gateway.yaml': file(first) })
  const gateway = startProgram(t, ['gateway', 'gateway.yaml'], { cwd })
  const [, url] = await gateway.printed(/internal +(http:\S+)/)
  const get = async (): Promise<string> => (await fetch(`${url}/api/v1/people?secret=1`)).text()
  assert.equal(await get(), 'first')
  const [line] = await gateway.printed(/\{.*\}/)
  const { status, path, service, client } = JSON.parse(line)
  assert.deepEqual([status, path, service, client], [200, '/api/v1/people', 'people', '127.0.0.1'])

  await writeFile(join(cwd, 'gateway.yaml'), file(second, '    retires: 3\n'))
  await gateway.printed(
    /gateway\.yaml:6:5 {2}\/services\/people\/retires {2}is not known here[\s\S]*goes on as before/,
  )
  assert.equal(await get(), 'first')
  await writeFile(join(cwd, 'gateway.yaml'), file(second))
  await gateway.printed(/was read again: 1 service, for internal/)
  assert.equal(await get(), 'second')

  const { code, stdout } = await runProgram(t, ['gateway', 'gateway.yaml', '--report'], { cwd })
  assert.equal(code, 0)
  assert.match(stdout, /\/api\/v1\/people +internal +v1 +people +3 /)
  assert.equal(await gateway.stop('SIGINT'), 0)
})

test('lockstep gateway --check says every fault with its line, and nothing where there is none', async t => {
  const cwd = await temporaryFolder(t, {
    'good.yaml':
      'services:\n  people: { instances: http://127.0.0.1:1 }\nlegacy: { instances: http://127.0.0.1:2 }\n',
    'bad.yaml': `root: /api
versions: { v1: { deprecated: 2027-13-45 } }
faces: { public: { port: 99999 } }
services:
  people:
    instances: [http://127.0.0.1:1/api]
    paths: [/people, /people/../x]
  others:
    instances: [http://127.0.0.1:2]
    compare: true
    timeouts: { headMs: 0 }
keys: { fiel: keys.json }
docs: { services: { nobody: {} } }
`,
    'twice.yaml':
      'services:\n  people: { instances: http://127.0.0.1:1 }\n  staff: { instances: http://127.0.0.1:2, paths: /people }\n',
  })
  const check = (file: string) => runProgram(t, ['gateway', file, '--check'], { cwd })
  const good = await check('good.yaml')
  assert.deepEqual(
    [good.code, good.stderr],
    [0, 'good.yaml can be used: 1 service, a legacy program, for internal.\n'],
  )
  const bad = await check('bad.yaml')
  assert.equal(bad.code, 1)
  for (const pointer of [
    '/versions/v1/deprecated',
    '/versions ',
    '/faces/public/port',
    '/services/people/instances/0',
    '/services/people/paths',
    '/services/others/compare',
    '/services/others/timeouts/headMs',
    '/keys/fiel',
    '/docs/services/nobody',
  ]) {
    assert.match(bad.stderr, new RegExp(`bad\\.yaml:\\d+:\\d+ {2}${pointer.trim()} {2}`), bad.stderr)
  }
  const twice = await check('twice.yaml')
  assert.match(
    twice.stderr,
    /twice\.yaml:3:3 {2}\/services\/staff {2}takes \/api\/v1\/people, which is taken by people already/,
  )
})
