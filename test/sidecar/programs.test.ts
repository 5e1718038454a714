/** The sidecar before programs that nobody here wrote: what docs/sidecar.md says of them. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createMemoryLog } from 'lockstep/log'
import { type MirroredOptions, openSidecar, type Sidecar } from 'lockstep/sidecar'
import { type MirroredProgram, skipWithoutPackage, startMirrored } from '../support/mirrored-program.ts'

async function mirror(
  t: TestContext,
  program: MirroredProgram,
  resources: Record<string, MirroredOptions>,
): Promise<Sidecar> {
  const log = createMemoryLog()
  const sidecar = await openSidecar({
    upstream: program.url,
    resources,
    log,
    scanEveryMs: 0,
    onError: () => {},
  })
  t.after(async () => {
    await sidecar.close(0)
    await program.stop()
  })
  return sidecar
}

async function send(method: string, url: string, body?: object): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(url, { method, headers, ...(body && { body: JSON.stringify(body) }) })
  assert.ok(response.ok, `${method} ${url}: ${response.status} ${await response.text()}`)
}

async function told(sidecar: Sidecar, stream: string): Promise<string[]> {
  await sidecar.settled()
  const response = await fetch(`${sidecar.mirrorUrl}/${stream}/_changes?after=earliest`)
  const { changes } = (await response.json()) as { changes: { event: string; resource: string }[] }
  return changes.map(({ event, resource }) => `${event} ${resource}`)
}

test('verdaccio: packages that are published, also with a scope, and round the sidecar', {
  skip: skipWithoutPackage('verdaccio'),
}, async t => {
  const config = [
    'storage: {dir}/storage',
    'uplinks: {}',
    "packages: { '**': { access: $all, publish: $anonymous $all } }",
    'log: { type: stdout, level: warn }',
  ].join('\n')
  const program = await startMirrored('verdaccio', {
    file: 'verdaccio/bin/verdaccio',
    files: { 'config.yaml': config },
    args: (port, dir) => ['--config', `${dir}/config.yaml`, '--listen', `127.0.0.1:${port}`],
    ready: /http:\/\//,
  })
  const sidecar = await mirror(t, program, {
    packages: { list: '/-/verdaccio/data/packages', item: '/{id}', id: '/name' },
  })
  const publish = (root: string, name: string, version: string): Promise<void> => {
    const file = `${name.split('/').at(-1)}-${version}.tgz`
    const dist = { tarball: `${root}/${name}/-/${file}`, shasum: 'aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d' }
    return send('PUT', `${root}/${name.replace('/', '%2f')}`, {
      _id: name,
      name,
      'dist-tags': { latest: version },
      versions: { [version]: { name, version, dist } },
      _attachments: { [file]: { content_type: 'application/octet-stream', data: 'aGVsbG8=', length: 5 } },
    })
  }
  await publish(sidecar.url, 'demo', '1.0.0')
  await publish(sidecar.url, '@scope/thing', '1.0.0')
  assert.deepEqual((await told(sidecar, 'packages')).sort(), [
    'created /packages/%40scope%2Fthing',
    'created /packages/demo',
  ])
  await publish(program.url, 'demo', '1.0.1')
  await sidecar.scan()
  assert.equal((await told(sidecar, 'packages')).at(-1), 'modified /packages/demo')
})

test('the API of CouchDB: PUT, POST, many at once, and writes round the sidecar', {
  skip: skipWithoutPackage('express-pouchdb'),
}, async t => {
  const program = await startMirrored('pouchdb', {
    file: '../couch.mjs',
    args: port => [String(port)],
    ready: /up/,
  })
  const sidecar = await mirror(t, program, {
    people: {
      list: '/people/_all_docs?include_docs=true',
      item: '/people/{id}',
      items: '/rows',
      listed: '/doc',
    },
  })
  await send('PUT', `${sidecar.url}/people`)
  await sidecar.ready
  await send('PUT', `${sidecar.url}/people/ann`, { name: 'Ann' })
  await sidecar.settled()
  await send('POST', `${sidecar.url}/people/_bulk_docs`, { docs: [{ _id: 'bob', name: 'Bob' }] })
  await sidecar.settled()
  await send('PUT', `${program.url}/people/cid`, { name: 'Cid' })
  await sidecar.scan()
  assert.deepEqual(await told(sidecar, 'people'), [
    'created /people/ann',
    'created /people/bob',
    'created /people/cid',
  ])
})

test('Node-RED: flows that are created, changed and deleted', {
  skip: skipWithoutPackage('node-red'),
}, async t => {
  const program = await startMirrored('node-red', {
    file: 'node-red/red.js',
    args: (port, dir) => ['--port', String(port), '--userDir', dir],
    ready: /Started flows/,
  })
  const sidecar = await mirror(t, program, { flows: { list: false, item: '/flow/{id}' } })
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ label: 'first', nodes: [] })
  const { id } = (await (await fetch(`${sidecar.url}/flow`, { method: 'POST', headers, body })).json()) as {
    id: string
  }
  await sidecar.settled()
  await send('PUT', `${sidecar.url}/flow/${id}`, { label: 'second', nodes: [] })
  await sidecar.settled()
  await send('DELETE', `${sidecar.url}/flow/${id}`)
  assert.deepEqual(await told(sidecar, 'flows'), [
    `created /flows/${id}`,
    `modified /flows/${id}`,
    `deleted /flows/${id}`,
  ])
})
