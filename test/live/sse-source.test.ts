import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import test from 'node:test'
import { isLockstepError } from '../../src/contract/index.ts'
import { createApiRequest } from '../../src/live/api-request.ts'
import { createFeed } from '../../src/live/feed.ts'
import { openSseSource } from '../../src/live/sse-source.ts'

test('an event stream that says nothing more is given up, and opened again', async () => {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(': hello\n\n')
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const api = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const timers: { callback: () => void; delayMs: number; isStopped: boolean }[] = []
  const clock = {
    now: () => 0,
    setTimer(callback: () => void, delayMs: number) {
      const timer = { callback, delayMs, isStopped: false }
      timers.push(timer)
      if (delayMs < 1_000) setImmediate(callback)
      return () => {
        timer.isStopped = true
      }
    },
  }
  const errors: unknown[] = []
  const ups = new EventTarget()
  const listener = {
    onEntry() {},
    onHead() {},
    onUp: () => ups.dispatchEvent(new Event('up')),
    onDown() {},
    onError: (error: unknown) => errors.push(error),
  }
  const feed = createFeed('people', createApiRequest({ api, streams: ['people'] }))
  const position = () => ({ epoch: 'k3f9', seq: 1 })
  const first = once(ups, 'up')
  const asked = once(server, 'request')
  const source = openSseSource(
    { stream: 'people', feed, position, silenceMs: 9_000, clock, random: () => 0 },
    listener,
  )
  try {
    await Promise.all([first, asked])
    const again = Promise.all([once(ups, 'up'), once(server, 'request')])
    timers.findLast(({ delayMs, isStopped }) => delayMs === 9_000 && !isStopped)!.callback()
    await again
    assert.ok(errors.every(error => isLockstepError(error, 'timeout')))
    assert.equal(errors.length, 1)
  } finally {
    source.close()
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
})
