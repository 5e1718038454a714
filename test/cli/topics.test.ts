/** `lockstep topics`: the topics of a broker over HTTP, until it is told to stop. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { openEmbeddedBroker } from '../../src/broker/index.ts'
import { runProgram, startProgram, temporaryFolder } from './program.ts'

test('lockstep topics publishes and shows topics of a broker within its filters, and keeps them in a file', async t => {
  await using broker = await openEmbeddedBroker({ port: 0, publishers: { view: 'secret' } })
  const cwd = await temporaryFolder(t, {})
  const url = broker.url.replace('//', '//view:secret@')
  const args = [
    'topics',
    url,
    '--port',
    '0',
    '--read',
    'open/#',
    '--publish',
    'open/+',
    '--file',
    join(cwd, 't.db'),
  ]
  const program = startProgram(t, args, { cwd, env: { LOCKSTEP_TOPICS_USER: 'ann:pass' } })
  const [, view = ''] = await program.printed(/ are at (http:\S+)/)
  assert.equal(program.stderr.includes('secret'), false)
  assert.equal((await fetch(`${view}/open/a`)).status, 401)
  const headers = { authorization: `Basic ${btoa('ann:pass')}`, 'content-type': 'text/plain' }
  const put = async (path: string): Promise<number> => {
    for (;;) {
      const { status } = await fetch(`${view}/${path}`, { method: 'POST', headers, body: 'x' })
      if (status !== 503) return status
    }
  }
  assert.equal(await put('open/a'), 204)
  assert.equal(await put('closed'), 403)
  assert.equal(await (await fetch(`${view}/open/a`, { headers })).text(), 'x')
  assert.equal(await program.stop('SIGTERM'), 0)

  const again = startProgram(t, args, { cwd })
  const [, second = ''] = await again.printed(/ are at (http:\S+)/)
  assert.equal(await (await fetch(`${second}/open/a`)).text(), 'x')
  assert.equal(await again.stop(), 0)
})

test('lockstep topics says what is wrong with its options', async t => {
  const cases: [readonly string[], number, RegExp][] = [
    [['topics', 'nowhere'], 2, /mqtt:\/\//],
    [['topics', 'mqtt://127.0.0.1', '--read', 'a#'], 2, /whole level/],
    [['topics', 'mqtt://127.0.0.1', '--root', '/'], 2, /\/topics/],
    [['topics', 'mqtt://127.0.0.1', '--user', 'ann'], 1, /name:password/],
  ]
  for (const [args, code, message] of cases) {
    const ended = await runProgram(t, args)
    assert.deepEqual([args.at(-1), ended.code], [args.at(-1), code])
    assert.match(ended.stderr, message)
  }
})
