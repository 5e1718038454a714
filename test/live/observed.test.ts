import assert from 'node:assert/strict'
import test from 'node:test'
import * as client from 'prom-client'
import { createPrometheusMetrics, startLogging, startMetrics } from '../../src/live/index.ts'
import { eventually } from '../support/service.ts'
import { openScene } from './live-setup.ts'
import { connectSocket, hello } from './page-client.ts'

test('what a bridge does is counted, also what it did in its last second', async () => {
  const register = new client.Registry()
  const stop = startMetrics(createPrometheusMetrics(client, { registers: [register] }))
  const read = async (name: string): Promise<number | undefined> => {
    const line = (await register.metrics()).split('\n').find(text => text.startsWith(`${name} `))
    return line === undefined ? undefined : Number(line.split(' ').at(-1))
  }
  try {
    await using scene = await openScene()
    const { url, bridge } = await scene.open()
    await using page = await connectSocket(url)
    page.send(hello(['/people'], await scene.marker()))
    await page.type('live')
    await eventually(async () => (await read('lockstep_bridge_pages{transport="websocket"}')) === 1)
    assert.equal(await read('lockstep_bridge_stream_live{stream="people"}'), 1)
    await scene.write('ada', 'bob')
    await eventually(() => bridge.counters.messages === 2)
    page.send(hello(['/people'], 'people:other:7'))
    await page.type('refresh')
    await bridge.close()
    assert.equal(await read('lockstep_bridge_accepted_total'), 1)
    assert.equal(await read('lockstep_bridge_messages_total'), 2)
    assert.equal(await read('lockstep_bridge_refreshes_total{reason="epoch"}'), 1)
    assert.equal(await read('lockstep_bridge_closed_total{code="closed"}'), 1)
    assert.equal(await read('lockstep_bridge_stream_live{stream="people"}'), undefined)
  } finally {
    stop()
  }
})

test('a bridge that loses its source says so, to the log and in its health', async () => {
  const lines: string[] = []
  const note = (level: string) => (_fields: object, text: string) => void lines.push(`${level} ${text}`)
  const logger = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') }
  const stop = startLogging(logger)
  try {
    await using scene = await openScene()
    let isUp = true
    const api = {
      fetch: (request: Request) =>
        isUp ? scene.service.service.fetch(request) : Promise.reject(new TypeError('down')),
    }
    const { url } = await scene.open({ sources: [{ api, streams: ['people'] }], staleAfterMs: 50 })
    const health = async (): Promise<{ status: string; streams: Record<string, { isLive: boolean }> }> =>
      await (await fetch(`${url}/health`)).json()
    await eventually(async () => (await health()).status === 'ok')
    isUp = false
    scene.service.service.close()
    await eventually(async () => (await health()).status === 'degraded')
    await eventually(() => lines.some(line => line.startsWith('warn The bridge may lack changes of people')))
    assert.equal((await health()).streams['people']!.isLive, false)
    assert.equal((await fetch(`${url}/health`, { method: 'POST' })).status, 405)
  } finally {
    stop()
  }
})
