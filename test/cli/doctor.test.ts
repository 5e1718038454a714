/** `lockstep doctor` before a healthy system, and before each of the faults that it is there to find. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { openEmbeddedBroker } from 'lockstep/broker'
import { formatHead } from 'lockstep/contract'
import { runProgram } from './program.ts'
import { openProxy } from './proxy.ts'
import { openSystem } from './system.ts'

interface Check {
  readonly name: string
  readonly status: string
  readonly detail: string
  readonly next?: string
}

/** The checks, by name, of a run with --json. */
async function examine(
  t: TestContext,
  args: readonly string[],
): Promise<{ readonly code: number | null; readonly checks: Readonly<Record<string, Check>> }> {
  const { code, stdout } = await runProgram(t, ['doctor', ...args, '--json'])
  const report = JSON.parse(stdout) as { ok: boolean; checks: Check[] }
  assert.equal(report.ok, code === 0)
  return { code, checks: Object.fromEntries(report.checks.map(check => [check.name, check])) }
}

test('before a healthy system every check is a ✓ and the exit code 0', async t => {
  const system = await openSystem(t, { root: '/api/v1', topicPrefix: 'acme/' })
  await system.put('ann', 'Ann')
  const { code, stdout } = await runProgram(t, ['doctor', system.api, '--broker', system.broker.url])
  assert.equal(code, 0, stdout)
  const names = [
    'API',
    'protocol',
    'health',
    'feed',
    'event stream',
    'versions',
    'broker',
    'heads',
    'in step',
  ]
  assert.deepEqual(
    [...stdout.matchAll(/^(.) (\S+(?: \S+)*?) {2,}/gm)].map(([, sign, name]) => [sign, name]),
    [...names.map(name => ['✓', name])],
  )
  assert.match(stdout, /the topic is acme\/people/)
  assert.match(stdout, /\/people\/ann is version 1 at people:\w+:1/)
  assert.match(stdout, /broker and API are both at \w+:1/)
  assert.match(stdout, /Nothing is wrong\.\n$/)
})

test('without --broker that is left out and said; an empty collection has no versions to compare', async t => {
  const system = await openSystem(t)
  const { code, checks } = await examine(t, [`${system.api}/people`])
  assert.equal(code, 0)
  assert.equal(checks['broker']?.status, 'skipped')
  assert.match(checks['broker']?.next ?? '', /--broker/)
  assert.equal(checks['versions']?.status, 'skipped')
})

test('an API that is not there, or has nothing at the path, is said with what to do next', async t => {
  const system = await openSystem(t)
  for (const url of ['http://127.0.0.1:1/people', `${system.api}/nothing`]) {
    const { code, checks } = await examine(t, [url])
    assert.equal(code, 1)
    assert.equal(checks['API']?.status, 'failed')
    assert.match(checks['API']?.next ?? '', /[Cc]orrect the address/)
  }
})

test('a proxy that drops the headers is found', async t => {
  const system = await openSystem(t)
  const proxy = await openProxy(t, system.server.url, { drops: ['lockstep-marker', 'etag'] })
  const { code, checks } = await examine(t, [`${proxy}/people`])
  assert.equal(code, 1)
  assert.equal(checks['protocol']?.detail, 'the answer has no lockstep-marker, no etag')
})

test('a proxy that shows the API below another path than it knows makes the feed fail', async t => {
  const system = await openSystem(t, { root: '/inside' })
  const proxy = await openProxy(t, system.server.url, { before: '/inside' })
  const { code, checks } = await examine(t, [`${proxy}/people`])
  assert.equal(code, 1)
  assert.equal(checks['protocol']?.status, 'ok')
  assert.equal(checks['feed']?.status, 'failed')
  assert.match(checks['feed']?.next ?? '', /root/)
})

test('a weakened ETag and a cached answer are found', async t => {
  const system = await openSystem(t)
  await system.put('ann', 'Ann')
  const weak = await openProxy(t, system.server.url, {
    rewrite: headers => ({ ...headers, ...(headers.etag ? { etag: `W/${headers.etag}` } : {}) }),
  })
  const weakened = await examine(t, [`${weak}/people/ann`])
  assert.match(weakened.checks['versions']?.detail ?? '', /not that of a version/)

  const [head] = await system.service.heads()
  const old = { 'lockstep-marker': `people:${head!.epoch}:0` }
  const stale = await openProxy(t, system.server.url, {
    rewrite: headers => ({ ...headers, ...(headers['content-type']?.includes('json') ? old : {}) }),
  })
  const cached = await examine(t, [`${stale}/people/ann`])
  assert.equal(cached.code, 1)
  assert.match(cached.checks['versions']?.next ?? '', /cache/)
})

test('a broker that is not there, and one to which the service does not publish, are told apart', async t => {
  const system = await openSystem(t)
  const absent = await examine(t, [system.api, '--broker', 'mqtt://127.0.0.1:1'])
  assert.equal(absent.code, 1)
  assert.match(absent.checks['broker']?.detail ?? '', /No broker listens at/)

  await using other = await openEmbeddedBroker({ port: 0 })
  // A retained head may be of any age, so it proves nothing.
  const [head] = await system.service.heads()
  await other.publish('lockstep/head/people', formatHead(head!), { retain: true })
  const silent = await examine(t, [system.api, '--broker', other.url, '--wait', '0.2'])
  assert.equal(silent.code, 1)
  assert.equal(silent.checks['broker']?.status, 'ok')
  assert.match(silent.checks['heads']?.detail ?? '', /none came on lockstep\/head\/people within 200 ms/)
})

test('what the service says of itself is told: its broker is lost, or it says nothing', async t => {
  const system = await openSystem(t)
  const well = await examine(t, [`${system.api}/people`])
  assert.match(well.checks['health']?.detail ?? '', /^the service says ok; its broker is connected, /)
  await system.broker.close()
  await system.put('ann', 'Ann')
  const lost = await examine(t, [`${system.api}/people`])
  assert.equal(lost.code, 1)
  assert.equal(
    lost.checks['health']?.detail,
    'the service says degraded (broker-unreachable); its broker is not connected, and 1 change waits to be published',
  )
  assert.match(lost.checks['health']?.next ?? '', /Start the broker/)

  const silent = await openSystem(t, { health: false })
  const { code, checks } = await examine(t, [`${silent.api}/people`])
  assert.deepEqual([code, checks['health']?.status], [0, 'skipped'])
})

test('heads of another database, and a broker that is behind, are found', async t => {
  const system = await openSystem(t)
  const other = await openSystem(t)
  const foreign = await examine(t, [system.api, '--broker', other.broker.url])
  assert.equal(foreign.code, 1)
  assert.match(foreign.checks['in step']?.detail ?? '', /epoch/)

  await using late = await openEmbeddedBroker({ port: 0 })
  const [head] = await system.service.heads()
  await system.put('ann', 'Ann')
  const publishing = setInterval(() => late.publish('lockstep/head/people', formatHead(head!)), 20)
  t.after(() => clearInterval(publishing))
  const behind = await examine(t, [system.api, '--broker', late.url])
  clearInterval(publishing)
  assert.equal(behind.code, 1)
  assert.match(behind.checks['in step']?.detail ?? '', /is 1 behind the API/)
})
