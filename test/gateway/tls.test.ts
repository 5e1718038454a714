/** The front door over TLS: HTTP/1.1 and HTTP/2 on one port, and a certificate that is replaced while it runs. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect as connectHttp2 } from 'node:http2'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeCertificates, skipWithoutOpenssl } from '../support/certificates.ts'
import { openTestGateway, openTestService } from './stage.ts'

test('HTTP/1.1 and HTTP/2 are answered alike, with bodies both ways, and services hear that it was https', {
  skip: skipWithoutOpenssl,
}, async t => {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-gateway-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const { ca, server } = await makeCertificates([])
  await writeFile(join(folder, 'cert.pem'), server.cert)
  await writeFile(join(folder, 'key.pem'), server.key)
  const service = await openTestService(t)
  const settings = {
    listen: { port: 0, tls: { cert: 'cert.pem', key: 'key.pem' }, http2: true },
    services: { people: { instances: [service.url] } },
  }
  const gateway = await openTestGateway(t, settings, { folder })
  const url = new URL(gateway.urls['internal']!)
  assert.equal(url.protocol, 'https:')

  const first = await new Promise<string>((resolve, reject) => {
    const asked = request(`${url.origin}/api/v1/people`, { ca, method: 'POST' }, response => {
      let text = ''
      response.on('data', part => {
        text += part
      })
      response.on('end', () => resolve(text))
    })
    asked.on('error', reject).end('one')
  })
  const session = connectHttp2(url.origin, { ca })
  t.after(() => session.destroy())
  const second = await new Promise<{ status: unknown; text: string }>((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/api/v1/people',
      'x-forwarded-for': '9.9.9.9',
    })
    let text = ''
    let status: unknown
    stream.on('response', headers => {
      status = headers[':status']
    })
    stream.setEncoding('utf8').on('data', part => {
      text += part
    })
    stream.on('error', reject).on('end', () => resolve({ status, text }))
    stream.end('two')
  })
  assert.equal(second.status, 200)
  const [one, two] = [JSON.parse(first), JSON.parse(second.text)]
  assert.deepEqual([one.body, two.body], ['one', 'two'])
  for (const { headers } of [one, two]) {
    assert.deepEqual(
      [headers['x-forwarded-proto'], headers['x-forwarded-for'], headers.host],
      ['https', '127.0.0.1', url.host],
    )
    assert.deepEqual(
      Object.keys(headers).filter(name => name.startsWith(':')),
      [],
    )
  }
  const missing = session.request({ ':path': '/nothing' }).resume()
  const [headers] = await once(missing, 'response')
  assert.equal(headers[':status'], 404)
  session.close()
  assert.deepEqual(await gateway.replace(settings, {}), [])
})

test('a stream of HTTP/2 that does not end is cut when the gateway closes, after its time', {
  skip: skipWithoutOpenssl,
}, async t => {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-gateway-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const { ca, server } = await makeCertificates([])
  await writeFile(join(folder, 'cert.pem'), server.cert)
  await writeFile(join(folder, 'key.pem'), server.key)
  const service = await openTestService(t, (_request, response) => void response.write('begun'))
  const gateway = await openTestGateway(
    t,
    {
      listen: { port: 0, tls: { cert: 'cert.pem', key: 'key.pem' }, http2: true },
      limits: { drainMs: 100 },
      services: { people: { instances: [service.url] } },
    },
    { folder },
  )
  const session = connectHttp2(gateway.urls['internal']!, { ca })
  session.on('error', () => {})
  const stream = session.request({ ':path': '/api/v1/people' }).on('error', () => {})
  await once(stream, 'data')
  const closed = once(session, 'close')
  await gateway.close()
  await closed
})
