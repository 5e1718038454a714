/** The service as a whole: what it opens it ends, what it was handed it leaves open, and what fails in the background is told. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mock, test } from 'node:test'
import { createMemoryHub } from '../../src/broker/memory.ts'
import { isLockstepError } from '../../src/contract/index.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { openService } from '../../src/service/service.ts'
import { openTestService, people, projects } from '../support/service.ts'

const source = new URL('../../src/', import.meta.url).href

/** Runs a module in a process of its own, and gives its exit code and output. */
async function run(text: string): Promise<{ code: number | null; output: string }> {
  const prelude = `
    import { createMemoryHub } from '${source}broker/memory.ts'
    import { createMemoryLog } from '${source}log/memory.ts'
    import { defineResource, openHttpServer, openService } from '${source}service/index.ts'
    const people = defineResource('people', { schema: { type: 'object' } })`
  const child = spawn(
    process.execPath,
    ['--conditions=lockstep-source', '--input-type=module-typescript', '-e', prelude + text],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NODE_OPTIONS: '' },
    },
  )
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', part => {
      output += part
    })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, output }
}

test('a process whose service is closed ends by itself, with streams open and the broker up or down', async () => {
  const { code, output } = await run(`
    const hub = createMemoryHub()
    for (const isDown of [false, true]) {
      const [log, broker] = [createMemoryLog(), hub.connect()]
      if (isDown) hub.stop()
      const service = await openService({ resources: [people], log, broker })
      const server = await openHttpServer(service, { port: 0 })
      const events = await fetch(server.url + '/people/_changes', { headers: { accept: 'text/event-stream' } })
      await service.transaction(tx => tx.create(people, {}))
      const inProcess = await service.fetch(new Request('http://x/people/_changes', { headers: { accept: 'text/event-stream' } }))
      await service.close()
      await server.close()
      await broker.close()
      await log.close()
    }
    console.log('closed')`)
  assert.deepEqual({ code, output }, { code: 0, output: 'closed\n' })
})

test('a service without a server does not keep its process alive by its retention', async () => {
  const { code, output } = await run(`
    await openService({ resources: [people], log: createMemoryLog() })`)
  assert.deepEqual({ code, output }, { code: 0, output: '' })
})

test('close is idempotent, leaves log and broker open, and reads and writes go on', async () => {
  const hub = createMemoryHub()
  await using log = createMemoryLog()
  await using broker = hub.connect()
  await using api = await openTestService({ log, broker })
  const closing = api.service.close()
  assert.equal(api.service.close(), closing)
  await closing
  assert.equal((await api.ask('PUT', '/people/a', { body: { name: 'A' } })).status, 201)
  assert.equal(broker.connected, true)
  const events = await api.ask('GET', '/people/_changes', { headers: { accept: 'text/event-stream' } })
  assert.deepEqual([events.status, events.text], [200, ''])
})

test('heads are those of all streams', async () => {
  await using api = await openTestService()
  await api.ask('PUT', '/projects/x', { body: { title: 'X' } })
  const heads = await api.service.heads()
  assert.deepEqual(
    heads.map(({ stream, seq, first }) => [stream, seq, first]),
    [
      ['people', 0, 1],
      ['projects', 1, 1],
    ],
  )
})

test('7.4 the log is pruned every minute as the retention says, one pruning at a time; a failure is told', async () => {
  mock.timers.enable({ apis: ['setInterval'] })
  try {
    const errors: string[] = []
    const calls: unknown[] = []
    let finish: (() => void) | undefined
    const log = createMemoryLog()
    log.prune = retention => {
      calls.push(retention)
      return new Promise((resolve, reject) => {
        finish = () => (calls.length === 1 ? resolve(0) : reject(new Error('disk full')))
      })
    }
    const retention = { maxRows: 10 }
    const onError = (error: unknown, { stage }: { stage: string }): number =>
      errors.push(`${stage}: ${error}`)
    const service = await openService({ resources: [people, projects], log, retention, onError })
    mock.timers.tick(59_999)
    assert.equal(calls.length, 0)
    mock.timers.tick(120_001)
    assert.deepEqual(calls, [retention])
    finish!()
    await new Promise(resolve => setImmediate(resolve))
    mock.timers.tick(60_000)
    assert.equal(calls.length, 2)
    let isClosed = false
    const closing = service.close().then(() => {
      isClosed = true
    })
    await new Promise(resolve => setImmediate(resolve))
    assert.equal(isClosed, false, 'it waits for the pruning that runs')
    finish!()
    await closing
    assert.deepEqual(errors, ['retention: Error: disk full'])
    mock.timers.tick(600_000)
    assert.equal(calls.length, 2)
    await log.close()
  } finally {
    mock.timers.reset()
  }
})

test('options that cannot be used open nothing', async () => {
  const log = createMemoryLog()
  let asked = 0
  log.ensureStreams = async () => {
    asked++
    return []
  }
  await assert.rejects(openService({ resources: [people], log, root: 'x' }))
  await assert.rejects(openService({ resources: [people], log, topicPrefix: 'x' }))
  for (const maxEventStreams of [-1, Number.NaN, 0.5])
    await assert.rejects(openService({ resources: [people], log, maxEventStreams }), {
      code: 'invalid-option',
    })
  for (const retention of [{ maxRows: -1 }, { maxAgeMs: Number.NaN }, { maxAge: 5 }])
    await assert.rejects(openService({ resources: [people], log, retention }), { code: 'invalid-option' })
  assert.equal(asked, 0)
})

test('an onError that throws harms no answer', async () => {
  const log = createMemoryLog()
  const onError = (): never => {
    throw new Error('the reporter fails')
  }
  const service = await openService({ resources: [people], log, onError })
  await log.close()
  const { status } = await service.fetch(new Request('http://x/people'))
  assert.equal(status, 503)
  await service.close()
})

test('what is no log, broker or resource, and options that are not known, are refused in words', async () => {
  await using log = createMemoryLog()
  const resources = [people]
  const open = openService as (options: unknown) => Promise<unknown>
  for (const [options, message] of [
    [undefined, /openService was given undefined/],
    [{ resources }, /The log of openService is undefined\. Give one/],
    [{ resources, log: Promise.resolve(log) }, /a promise \(did you forget await\?\)/],
    [{ resources, log, broker: 'mqtt://localhost' }, /is the text "mqtt:\/\/localhost".*connectMqtt/],
    [{ resources, log, broker: Promise.resolve() }, /broker of openService is a promise/],
    [{ resources: [], log }, /no resources/],
    [{ resources: people, log }, /no resources/],
    [{ resources: ['people'], log }, /is the text "people"\. Give what defineResource returns/],
    [{ resources, log, url: 'http://localhost' }, /no option "url"/],
    [{ resources, log, relay: { windowsize: 1 } }, /relay of openService has no option "windowsize"/],
  ] as const) {
    await assert.rejects(open(options), error => {
      assert.ok(isLockstepError(error, 'invalid-option'), String(error))
      assert.match(error.message, message)
      return true
    })
  }
})

test('what nobody listens to goes to stderr', async () => {
  const { code, output } = await run(`
    const log = createMemoryLog()
    const service = await openService({ resources: [people], log })
    await log.close()
    await service.fetch(new Request('http://x/people'))
    await service.close()`)
  assert.equal(code, 0)
  assert.match(output, /^lockstep: request: The change log is closed\./)
})
