/** Channels: what is published comes out of node:diagnostics_channel; a runtime without it has none. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import diagnostics from 'node:diagnostics_channel'
import { mock, test } from 'node:test'
import { commitChannel, type ErrorMessage, errorChannel } from '../../src/contract/channel.ts'
import { createErrorReport } from '../../src/contract/report.ts'

test('a channel is the one of node:diagnostics_channel with its name', () => {
  const heard: unknown[] = []
  const subscriber = (message: unknown, name: string | symbol): void => void heard.push(name, message)
  assert.equal(commitChannel.hasSubscribers, false)
  diagnostics.subscribe('lockstep:commit', subscriber)
  assert.equal(commitChannel.hasSubscribers, true)
  const message = { works: 2, changes: 1, durationMs: 0.5 }
  commitChannel.publish(message)
  diagnostics.unsubscribe('lockstep:commit', subscriber)
  commitChannel.publish(message)
  assert.deepEqual(heard, ['lockstep:commit', message])
})

test('an error goes to onError and to the channel; to standard error only where neither hears', () => {
  const printed = mock.method(console, 'error', () => {})
  const heard: ErrorMessage[] = []
  const subscriber = (message: ErrorMessage): void => void heard.push(message)
  const told: unknown[] = []
  try {
    const error = new Error('The disk is full.')
    createErrorReport(undefined)(error, { stage: 'commit' })
    assert.equal(printed.mock.callCount(), 1)
    errorChannel.subscribe(subscriber)
    createErrorReport(undefined)(error, { stage: 'commit' })
    createErrorReport(error => told.push(error))(error, { stage: 'relay' })
    createErrorReport(() => {
      throw new Error('The reporter failed.')
    })(error, { stage: 'feed' })
    assert.deepEqual(
      heard.map(({ stage }) => stage),
      ['commit', 'relay', 'feed'],
    )
    assert.deepEqual(told, [error])
    assert.equal(printed.mock.callCount(), 1)
  } finally {
    errorChannel.unsubscribe(subscriber)
    printed.mock.restore()
  }
})

test('where there is no process, as in a browser, nobody ever listens and publishing does nothing', () => {
  const module = new URL('../../src/contract/channel.ts', import.meta.url).href
  const text = `
    delete globalThis.process
    const { errorChannel } = await import('${module}')
    errorChannel.subscribe(() => console.log('heard'))
    errorChannel.publish({ error: 'x', stage: 'y' })
    console.log(errorChannel.name, errorChannel.hasSubscribers)`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', text], {
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  assert.deepEqual({ stdout, stderr }, { stdout: 'lockstep:error false\n', stderr: '' })
})
