/** Logging, with pino as it is. */
import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import pino from 'pino'
import { errorChannel, LockstepError, relayChannel, requestChannel } from '../../src/contract/index.ts'
import { startLogging } from '../../src/observe/index.ts'
import { openObservedSystem } from '../support/observed.ts'
import { eventually } from '../support/service.ts'

interface Line {
  readonly level: number
  readonly msg: string
  readonly [field: string]: unknown
}

/** A pino whose lines are kept. */
function createPino(level = 'info'): { logger: pino.Logger; lines: Line[] } {
  const lines: Line[] = []
  return { logger: pino({ level }, { write: line => void lines.push(JSON.parse(line)) }), lines }
}

test('pino gets the ways of relay and follower, and no line for a request', async () => {
  const { logger, lines } = createPino()
  const stop = startLogging(logger)
  try {
    await using system = await openObservedSystem()
    const follower = system.lockstep.follow('/projects')
    await follower.ready
    await eventually(() => follower.status === 'live')
    system.hub.stop()
    await eventually(() => follower.status === 'stale')
    system.hub.start()
    await eventually(() => follower.status === 'live')
    const texts = lines.map(({ level, msg }) => `${level} ${msg}`)
    for (const text of [
      '30 The follower of /projects is connecting.',
      '30 The follower of /projects is live.',
      '40 The relay of projects lost the broker; changes wait in the log.',
      '40 The follower of /projects is stale.',
      '30 The relay of projects is connected to the broker.',
    ])
      assert.ok(texts.includes(text), `${text}\nis not in\n${texts.join('\n')}`)
    const stale = lines.find(({ status }) => status === 'stale')
    assert.equal(stale?.['path'], '/projects')
    assert.equal(typeof stale?.['staleForMs'], 'number')
    assert.ok(!texts.some(text => text.includes('GET')))
  } finally {
    stop()
  }
})

test('an error is a line with its stack, code and stage; what goes by itself is a warning', () => {
  const { logger, lines } = createPino()
  const printed = mock.method(console, 'error', () => {})
  const stop = startLogging(logger)
  errorChannel.publish({
    error: new LockstepError('log-failed', 'The disk is full.'),
    stage: 'commit',
  })
  errorChannel.publish({
    error: new LockstepError('broker-unreachable', 'No broker listens.'),
    stage: 'broker',
  })
  errorChannel.publish({ error: 'odd', stage: 'feed' })
  stop()
  errorChannel.publish({ error: 'after the end', stage: 'feed' })
  printed.mock.restore()
  assert.deepEqual(
    lines.map(({ level, msg, stage, code }) => [level, msg, stage, code]),
    [
      [50, 'commit: The disk is full.', 'commit', 'log-failed'],
      [40, 'broker: No broker listens.', 'broker', 'broker-unreachable'],
      [50, 'feed: odd', 'feed', undefined],
    ],
  )
  assert.match((lines[0]!['err'] as { stack: string }).stack, /logging\.test/)
})

test('requests are lines where that is wished for, those that failed as warnings', async () => {
  const { logger, lines } = createPino('debug')
  const stop = startLogging(logger, { requests: true })
  try {
    await using system = await openObservedSystem()
    await fetch(`${system.url}/projects/x`)
    mock.method(system.api.log, 'readResource', () => Promise.reject(new Error('It broke.')))
    await fetch(`${system.url}/projects/y`)
    system.api.errors.length = 0
  } finally {
    stop()
  }
  const requests = lines.filter(line => line['method'] === 'GET')
  assert.deepEqual(
    requests.map(({ level, route, status, code }) => [level, route, status, code]),
    [
      [20, '/projects/{id}', 404, 'not-found'],
      [40, '/projects/{id}', 500, 'internal'],
    ],
  )
  assert.match(requests[0]!.msg, /^GET \/projects\/x 404 in \d+\.\d ms$/)
})

test('a logger that throws harms nobody, and a value that is no logger is refused', () => {
  const broken = (): void => {
    throw new Error('The disk is full.')
  }
  const stop = startLogging({ debug: broken, info: broken, warn: broken, error: broken })
  errorChannel.publish({ error: new Error('x'), stage: 'feed' })
  stop()
  assert.equal(errorChannel.hasSubscribers || relayChannel.hasSubscribers, false)
  const { info } = console
  assert.throws(() => startLogging({ info } as unknown as Console), { code: 'invalid-option' })
  assert.throws(() => startLogging(console, { request: true } as object), { code: 'invalid-option' })
  assert.equal(requestChannel.hasSubscribers, false)
})
