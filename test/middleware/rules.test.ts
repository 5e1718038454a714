/** What is nested, what a request changes elsewhere, answers in parts, and a write that could not be noted. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import express from 'express'
import { createMemoryLog } from '../../src/log/index.ts'
import {
  createNodeMiddleware,
  type Mirror,
  type MirrorOptions,
  openMirror,
} from '../../src/middleware/index.ts'
import { listen, type State, send } from '../support/mirrored-app.ts'

interface Shop {
  readonly url: string
  readonly mirror: Mirror
  readonly stock: Map<string, State>
  readonly lines: Map<string, Map<string, State>>
}

async function openShop(t: TestContext, options: Partial<MirrorOptions> = {}): Promise<Shop> {
  const stock = new Map<string, State>([['tea', { id: 'tea', left: 5 }]])
  const lines = new Map<string, Map<string, State>>([['1', new Map()]])
  const log = createMemoryLog()
  const app = express()
  const mirror = await openMirror({
    log,
    listener: app,
    base: '/api',
    resources: { stock: {}, orders: { item: '/api/orders/{id}' }, 'orders/{order}/lines': {} },
    touches: {
      'POST /api/orders/{order}/lines': ['/api/stock/{body.item}'],
      'POST /api/refill': ['/api/stock/{answer.item}'],
    },
    ...options,
  })
  t.after(async () => {
    await mirror.close()
    await log.close()
  })
  app.use(createNodeMiddleware(mirror)).use(express.json())
  app.get('/api/stock', (_, response) => void response.json([...stock.values()]))
  app.get('/api/stock/:id', ({ params }, response) => void response.json(stock.get(params.id)))
  app.get('/api/orders', (_, response) => void response.json([...lines.keys()].map(id => ({ id }))))
  app.get('/api/orders/:id', ({ params }, response) => {
    if (lines.has(params.id)) response.json({ id: params.id })
    else response.sendStatus(404)
  })
  app.delete(
    '/api/orders/:id',
    ({ params }, response) => void response.sendStatus(lines.delete(params.id) ? 204 : 404),
  )
  app.get(
    '/api/orders/:id/lines',
    ({ params }, response) => void response.json([...lines.get(params.id)!.values()]),
  )
  app.get('/api/orders/:id/lines/:line', ({ params }, response) => {
    response.json(lines.get(params.id)!.get(params.line))
  })
  app.post('/api/orders/:id/lines', ({ params, body }, response) => {
    const line = { id: `${lines.get(params.id)!.size + 1}`, ...body }
    lines.get(params.id)!.set(line.id, line)
    stock.set(body.item, { id: body.item, left: Number(stock.get(body.item)!['left']) - 1 })
    response.status(201).json(line)
  })
  app.post('/api/refill', (_, response) => {
    stock.set('tea', { id: 'tea', left: 100 })
    response.json({ item: 'tea' })
  })
  app.put('/api/stock/:id', ({ params, body }, response) => {
    stock.set(params.id, { id: params.id, ...body })
    response.writeHead(200, { 'content-type': 'text/plain' })
    response.write('stored ')
    response.end('it')
  })
  const url = `${await listen(t, app)}`
  await mirror.start()
  return { url, mirror, stock, lines }
}

async function readMirror(url: string, path: string): Promise<unknown> {
  return await (await fetch(`${url}/_mirror${path}`)).json()
}

test('a nested collection is mirrored, and what goes with its parent; rules name what changes elsewhere', async t => {
  const { url, mirror } = await openShop(t)
  const added = await send('POST', `${url}/api/orders/1/lines`, { item: 'tea' })
  assert.equal(added.headers.get('lockstep-marker')!.split(',').length, 2)
  assert.deepEqual(await readMirror(url, '/orders/1/lines'), [{ id: '1', item: 'tea' }])
  assert.deepEqual(await readMirror(url, '/stock/tea'), { id: 'tea', left: 4 })
  await send('POST', `${url}/api/refill`)
  assert.deepEqual(await readMirror(url, '/stock/tea'), { id: 'tea', left: 100 })
  await send('DELETE', `${url}/api/orders/1`)
  await mirror.settled()
  const { changes } = (await readMirror(url, '/orders/_changes')) as {
    changes: { event: string; resource: string }[]
  }
  assert.deepEqual(
    changes.map(({ event, resource }) => `${event} ${resource}`),
    ['created /orders/1', 'created /orders/1/lines/1', 'deleted /orders/1/lines/1', 'deleted /orders/1'],
  )
})

test('an answer in parts that is no JSON is sent as it comes, and what it tells of is seen', async t => {
  const { url, mirror } = await openShop(t)
  const answer = await send('PUT', `${url}/api/stock/tea`, { left: 1 })
  assert.equal(await answer.text(), 'stored it')
  await mirror.settled()
  assert.deepEqual(await readMirror(url, '/stock/tea'), { id: 'tea', left: 1 })
})

test('with reads left alone, answers to GET are as they were', async t => {
  const { url } = await openShop(t, { reads: false })
  const read = await fetch(`${url}/api/stock/tea`)
  assert.equal(read.headers.get('lockstep-marker'), null)
  assert.match(read.headers.get('etag')!, /^W\//)
})

test('a handler does not run where its write could not be noted', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-intents-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const { url, mirror, stock } = await openShop(t, { journalFile: join(folder, 'intents.txt') })
  await mirror.close()
  const refused = await send('PUT', `${url}/api/stock/tea`, { left: 0 })
  assert.equal(refused.status, 503)
  assert.deepEqual(stock.get('tea'), { id: 'tea', left: 5 })
})
