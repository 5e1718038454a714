/** Documents are gathered from configured addresses only, kept where a service is down, and say what each face has. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import test from 'node:test'
import type { LockstepError } from '../../../src/contract/index.ts'
import { parseDocumentText } from '../../../src/gateway/documents/document-text.ts'
import { fetchDocument } from '../../../src/gateway/documents/fetch-document.ts'
import { createGatherer } from '../../../src/gateway/documents/gatherer.ts'
import { createVisibility } from '../../../src/gateway/documents/visible-operations.ts'
import { createNodeListener } from '../../../src/service/http/node.ts'
import { defineResource } from '../../../src/service/resource.ts'
import { openTestService } from '../../support/service.ts'

const books = defineResource('books', {
  public: { operations: ['read', 'create'], fields: ['title'] },
  schema: { type: 'object', properties: { title: { type: 'string' }, price: { type: 'number' } } },
})
const stock = defineResource('stock', { schema: { type: 'object' } })

interface Listening extends AsyncDisposable {
  readonly url: string
  readonly server: Server
  readonly asked: string[]
}

async function listen(listener: RequestListener): Promise<Listening> {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(request.url ?? '')
    listener(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    server,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

test('a service is gathered for both audiences, not again while it is the same, and kept with its age when it is down', async () => {
  await using api = await openTestService({ resources: [books, stock], root: '/v1' })
  const down = { isDown: false }
  const answer = createNodeListener(api.service)
  await using server = await listen((request, response) => {
    if (down.isDown) response.destroy()
    else answer(request, response)
  })
  const errors: unknown[] = []
  let time = Date.parse('2026-01-31T12:00:00Z')
  const gatherer = createGatherer({
    sources: [{ service: 'shop', upstream: `${server.url}/v1` }],
    onError: error => errors.push(error),
    now: () => time,
  })
  const visibility = createVisibility(gatherer)
  assert.equal(visibility.isVisible('internal', 'shop', 'GET', '/books'), true)
  assert.equal(visibility.isVisible('public', 'shop', 'GET', '/books'), false)
  await gatherer.refresh()
  assert.deepEqual(
    Object.keys(gatherer.parts('internal')[0]!.openApi!['paths'] as object).includes('/stock'),
    true,
  )
  assert.doesNotMatch(JSON.stringify(gatherer.parts('public')), /stock|price/)
  for (const [method, path, isPublic] of [
    ['GET', '/books', true],
    ['HEAD', '/books', true],
    ['OPTIONS', '/books', true],
    ['POST', '/books', true],
    ['GET', '/books/1', true],
    ['DELETE', '/books/1', false],
    ['PATCH', '/books/1', false],
    ['GET', '/books/_changes', true],
    ['POST', '/books/_bulk', false],
    ['GET', '/stock', false],
    ['GET', '/stock/1', false],
    ['GET', '/_openapi', false],
    ['GET', '/health', false],
    ['GET', '/', false],
    ['GET', '/books/1/more', false],
    ['GET', '/books/', false],
  ] as const) {
    assert.equal(visibility.isVisible('public', 'shop', method, path), isPublic, `${method} ${path}`)
    assert.equal(visibility.isVisible('internal', 'shop', method, path), true)
  }
  assert.equal(visibility.isVisible('public', 'other', 'GET', '/books'), false)
  const { revision } = gatherer
  await gatherer.refresh()
  assert.equal(gatherer.revision, revision)
  assert.equal(gatherer.parts('internal')[0]!.staleSince, undefined)
  down.isDown = true
  time += 60_000
  await gatherer.refresh()
  await gatherer.refresh()
  assert.equal(errors.length, 1)
  assert.equal(gatherer.parts('internal')[0]!.staleSince, '2026-01-31T12:00:00.000Z')
  assert.equal(visibility.isVisible('public', 'shop', 'GET', '/books'), true)
  down.isDown = false
  await gatherer.refresh()
  assert.equal(gatherer.parts('internal')[0]!.staleSince, undefined)
  await gatherer.close()
})

test('nothing but the configured addresses is asked: no redirect, no reference, no listing leads elsewhere', async () => {
  await using victim = await listen((_request, response) => response.end('{"openapi":"3.1.0"}'))
  await using server = await listen((request, response) => {
    if (request.url === '/redirected') response.writeHead(302, { location: `${victim.url}/secret` }).end()
    else if (request.url === '/listing')
      response.end(
        JSON.stringify({
          swaggerVersion: '1.2',
          apis: [{ path: `${victim.url}/pet` }, { path: '//127.0.0.1:1/pet' }, { path: '/pet' }],
        }),
      )
    else if (request.url === '/listing/pet')
      response.end(
        JSON.stringify({
          swaggerVersion: '1.2',
          apiVersion: '1',
          basePath: '/',
          resourcePath: '/pet',
          apis: [],
        }),
      )
    else if (request.url === '/referring') {
      response.end(
        JSON.stringify({
          openapi: '3.1.0',
          info: { title: 'x', version: '1' },
          paths: { '/x': { $ref: `${victim.url}/item` } },
          components: { schemas: { A: { $ref: `${victim.url}/a.json` }, B: { $ref: 'file:///etc/passwd' } } },
        }),
      )
    } else if (request.url === '/endless') {
      response.writeHead(200)
      const more = (): void => void (response.destroyed || response.write(' '.repeat(65_536), more))
      more()
    } else if (request.url !== '/silent') response.writeHead(404).end()
  })
  const errors = new Map<string, string>()
  const names = ['redirected', 'listing', 'referring', 'silent', 'missing']
  const gatherer = createGatherer({
    sources: names.map(name => ({ service: name, upstream: server.url, openApi: name })),
    timeoutMs: 300,
    onError: error => {
      const { message, code } = error as LockstepError
      errors.set(names.find(name => message.includes(`${server.url}/${name}`)) ?? message, code)
    },
  })
  await gatherer.refresh()
  assert.deepEqual(victim.asked, [])
  assert.deepEqual(
    gatherer.parts('internal').map(({ service }) => service),
    ['referring'],
  )
  assert.doesNotMatch(JSON.stringify(gatherer.parts('internal')), /"\$ref":"(http|file)/)
  assert.deepEqual(Object.fromEntries(errors), {
    redirected: 'api-refused',
    // Its declarations are asked for below itself, where there are none.
    listing: 'api-refused',
    silent: 'timeout',
    missing: 'api-refused',
  })
  const left = once(server.server, 'connection').then(([socket]) => once(socket as Socket, 'close'))
  await assert.rejects(fetchDocument(new URL(`${server.url}/endless`), { maxBytes: 100_000 }), {
    code: 'body-too-large',
  })
  await left
  await gatherer.close()
})

test('what is configured is checked', () => {
  for (const [source, message] of [
    [{ service: 'a/b', upstream: 'http://127.0.0.1' }, /cannot be named so/],
    [{ service: 'a', upstream: 'file:///etc' }, /no URL of HTTP/],
    [{ service: 'a', upstream: 'http://127.0.0.1', openApi: 'file:///etc/passwd' }, /no URL of HTTP/],
  ] as const) {
    assert.throws(() => createGatherer({ sources: [source] }), message)
  }
  const twice = { service: 'a', upstream: 'http://127.0.0.1' }
  assert.throws(() => createGatherer({ sources: [twice, twice] }), /configured twice/)
})

test('texts of documents are read with suspicion', () => {
  assert.deepEqual(parseDocumentText('a', 'a: &x [1]\nb: *x'), { a: [1], b: [1] })
  assert.deepEqual(parseDocumentText('a', '{"a": 1, "a": 2}'), { a: 2 })
  assert.equal(({} as { polluted?: boolean }).polluted, undefined)
  parseDocumentText('a', '__proto__: { polluted: true }')
  parseDocumentText('a', '{"__proto__": {"polluted": true}}')
  assert.equal(({} as { polluted?: boolean }).polluted, undefined)
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefghij'.replace(/./g, (name, index) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghij'[index]}`)}]\n`)}`
  assert.throws(() => parseDocumentText('bomb', bomb), /bomb cannot be read/)
  assert.throws(() => parseDocumentText('tag', 'a: !!js/function "x"'), /tag cannot be read/)
  assert.throws(() => parseDocumentText('loop', 'a: &a\n  b: *a'), /loop cannot be read/)
  assert.throws(
    () => parseDocumentText('deep', `{"a":${'['.repeat(5_000)}${']'.repeat(5_000)}}`),
    /nested over/,
  )
  assert.throws(() => parseDocumentText('list', '[1]'), /is no object/)
})
