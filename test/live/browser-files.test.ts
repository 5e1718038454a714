/** The files that browsers load: what they weigh, that they are right, and how they are served. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import test from 'node:test'
import { gzipSync } from 'node:zlib'
import { createBrowserFiles } from '../../src/live/browser-files.ts'
import { browserFileNames, readBrowserFile } from '../../src/live/browser-module.ts'

const limits = { 'live.js': 6_000, 'views.js': 2_000, 'refresh.js': 2_000 } as const

test('live.js weighs at most 6 kB, and what is loaded besides at most 2 kB each', () => {
  for (const name of browserFileNames) {
    const { length } = gzipSync(readBrowserFile(name), { level: 9 })
    const limit = name === 'live.js' ? limits[name] : limits['views.js']
    assert.ok(length <= limit, `${name} has ${length} bytes`)
  }
})

test('each file is a module that stands for itself, and loads no other than those served', async () => {
  for (const name of browserFileNames) {
    const text = readBrowserFile(name)
    const url = `data:text/javascript;base64,${Buffer.from(text).toString('base64')}`
    const loaded = (await import(url)) as object
    assert.ok(Object.keys(loaded).length > 0, name)
    assert.doesNotMatch(text, /^import\b/m, name)
    for (const [, other] of text.matchAll(/import\('\.\/([^']+)'\)/g)) {
      assert.ok(browserFileNames.includes(other as never), `${name} loads ${other}`)
    }
  }
})

test('they are served with a tag, beside nothing else', async () => {
  const files = createBrowserFiles({
    path: '/my/live',
    modules: { '/views.js': new URL('../../examples/demo/pages/views.ts', import.meta.url) },
  })
  await using server = createServer((request, response) => {
    if (!files.handle(request, response)) response.writeHead(404).end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  assert.equal(files.live, '/my/live/live.js')
  for (const url of [files.live, files.views, files.idiomorph, '/my/live/refresh.js']) {
    const response = await fetch(base + url)
    assert.equal(response.status, 200, url)
    assert.equal(response.headers.get('content-type'), 'text/javascript; charset=utf-8')
    const etag = response.headers.get('etag')!
    await response.body?.cancel()
    const again = await fetch(base + url, { headers: { 'if-none-match': etag }, cache: 'no-store' })
    assert.equal(again.status, 304)
  }
  const own = await (await fetch(`${base}/views.js`)).text()
  assert.match(own, /from '\/my\/live\/views\.js'/)
  assert.doesNotMatch(own, /lockstep\/live|: States/)
  assert.equal((await fetch(`${base}/my/live/binding.js`)).status, 404)
  assert.equal((await fetch(base + files.live, { method: 'POST' })).status, 404)
  assert.throws(() => createBrowserFiles({ folder: '/x' } as never), { code: 'invalid-option' })
})
