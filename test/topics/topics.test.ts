/** The REST view of topics: what QEST and Ponte did, and what they did not. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect as connectSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { WebSocket } from 'ws'
import { type Broker, connectMqtt, createMemoryHub, openEmbeddedBroker } from '../../src/broker/index.ts'
import { connection, Inbox } from '../support/inbox.ts'
import { skipWithoutMosquitto, startMosquitto } from '../support/mosquitto.ts'
import { type Entry, openEvents, openView, untilStatus } from './view.ts'

const json = { 'content-type': 'application/json' }
const text = { 'content-type': 'text/plain' }

interface Pair extends AsyncDisposable {
  /** That of the view. */
  readonly broker: Broker
  /** Another client's. */
  readonly device: Broker
}

const brokers: readonly (readonly [string, () => Promise<Pair>, string | false])[] = [
  ['memory', openMemoryPair, false],
  ['Aedes', openEmbeddedPair, false],
  ['Mosquitto', openMosquittoPair, skipWithoutMosquitto],
]

async function openMemoryPair(): Promise<Pair> {
  const hub = createMemoryHub()
  return { broker: hub.connect(), device: hub.connect(), async [Symbol.asyncDispose]() {} }
}

async function openEmbeddedPair(): Promise<Pair> {
  const broker = await openEmbeddedBroker({ port: 0, publishers: { device: 'secret' } })
  const device = await connectMqtt(broker.url, { username: 'device', password: 'secret' })
  await connection(device)
  return {
    broker,
    device,
    async [Symbol.asyncDispose]() {
      await device.close()
      await broker.close()
    },
  }
}

async function openMosquittoPair(): Promise<Pair> {
  const mosquitto = await startMosquitto()
  const [broker, device] = await Promise.all([
    connectMqtt(mosquitto.url),
    connectMqtt(mosquitto.url, { protocolVersion: 5 }),
  ])
  await Promise.all([connection(broker), connection(device)])
  return {
    broker,
    device,
    async [Symbol.asyncDispose]() {
      await broker.close()
      await device.close()
      await mosquitto[Symbol.asyncDispose]()
    },
  }
}

for (const [name, open, skip] of brokers) {
  describe(`topics over REST: ${name}`, { skip }, () => {
    it('gives what was put, as text, as JSON and as what it was, to HTTP and MQTT alike', async () => {
      await using pair = await open()
      await using view = await openView(pair.broker)
      const inbox = new Inbox()
      await pair.device.subscribe(['foobar'], inbox.listener)

      const put = await fetch(`${view.url}/foobar`, { method: 'PUT', headers: text, body: 'hello world' })
      assert.equal(put.status, 204)
      assert.equal(put.headers.get('location'), '/topics/foobar')
      const plain = await fetch(`${view.url}/foobar`)
      assert.equal(plain.headers.get('content-type'), 'text/plain; charset=utf-8')
      assert.equal(await plain.text(), 'hello world')
      const asJson = await fetch(`${view.url}/foobar`, { headers: { accept: 'application/json' } })
      assert.equal(await asJson.json(), 'hello world')

      await fetch(`${view.url}/foobar`, { method: 'PUT', headers: json, body: '[ 42, 43 ]' })
      const value = await fetch(`${view.url}/foobar`)
      assert.equal(value.headers.get('content-type'), 'application/json; charset=utf-8')
      assert.equal(await value.text(), '[42,43]')
      await inbox.reach(2)
      assert.deepEqual(inbox.payloads, ['hello world', '[42,43]'])
    })

    it('gives what was published over MQTT, also before it began where the broker retains it', async () => {
      await using pair = await open()
      await pair.device.publish('hello', 'world', { retain: true })
      await using view = await openView(pair.broker)
      assert.equal(await (await untilStatus(`${view.url}/hello`, 200)).text(), 'world')
      await pair.device.publish('/hello', 'double slash')
      assert.equal(await (await untilStatus(`${view.url}//hello`, 200)).text(), 'double slash')
    })

    it('passes bytes that are no text through both ways', async () => {
      await using pair = await open()
      await using view = await openView(pair.broker)
      const inbox = new Inbox()
      await pair.device.subscribe(['image'], inbox.listener)
      const bytes = Buffer.from([0x89, 0x50, 0x00, 0xff, 0x0a])
      await fetch(`${view.url}/image`, {
        method: 'POST',
        headers: { 'content-type': 'image/png' },
        body: bytes,
      })
      await inbox.reach(1)
      assert.deepEqual(Buffer.from(inbox.wholes[0]?.bytes ?? []), bytes)
      const answer = await fetch(`${view.url}/image`)
      assert.equal(answer.headers.get('content-type'), 'application/octet-stream')
      assert.deepEqual(Buffer.from(await answer.arrayBuffer()), bytes)
      assert.equal(
        (await fetch(`${view.url}/image`, { headers: { accept: 'application/json' } })).status,
        406,
      )
    })

    it('streams a filter as events: last values first, then what comes', async () => {
      await using pair = await open()
      await using view = await openView(pair.broker)
      await fetch(`${view.url}/foo/bar`, { method: 'PUT', headers: json, body: '{"n": 1.50}' })
      await fetch(`${view.url}/other`, { method: 'PUT', headers: text, body: 'x' })
      const events = await openEvents(`${view.url}/foo/%23`)
      const first = await events.next()
      assert.deepEqual([first.topic, first.value, first.last], ['foo/bar', { n: 1.5 }, true])
      await pair.device.publish('other', 'y')
      await pair.device.publish('foo/baz', 'hello world')
      const second = await events.next()
      assert.deepEqual([second.topic, second.text, second.last], ['foo/baz', 'hello world', undefined])
      events.close()
    })
  })
}

describe('topics over REST', () => {
  it('answers 404 to a topic on which nothing has come, and to one whose value was taken away', async () => {
    await using pair = await openMemoryPair()
    await using view = await openView(pair.broker)
    const never = await fetch(`${view.url}/hello`)
    assert.equal(never.status, 404)
    assert.equal(((await never.json()) as { code: string }).code, 'not-found')
    await fetch(`${view.url}/hello`, { method: 'PUT', headers: text, body: 'x' })
    assert.equal((await fetch(`${view.url}/hello`)).status, 200)
    assert.equal((await fetch(`${view.url}/hello`, { method: 'DELETE' })).status, 204)
    assert.equal((await fetch(`${view.url}/hello`)).status, 404)
    // Nor does the broker keep it.
    const inbox = new Inbox()
    await pair.device.subscribe(['hello', 'mark'], inbox.listener)
    await pair.device.publish('mark', '')
    await inbox.reach(1)
    assert.deepEqual(inbox.topics, ['mark'])
  })

  it('retains what is PUT and not what is POSTed, unless it is told', async () => {
    await using pair = await openMemoryPair()
    await using view = await openView(pair.broker)
    await fetch(`${view.url}/a`, { method: 'PUT', headers: text, body: 'put' })
    await fetch(`${view.url}/b`, { method: 'POST', headers: text, body: 'post' })
    await fetch(`${view.url}/c?retain=true`, { method: 'POST', headers: text, body: 'kept' })
    await fetch(`${view.url}/d?retain=false`, { method: 'PUT', headers: text, body: 'gone' })
    assert.equal((await fetch(`${view.url}/e?retain=maybe`, { method: 'PUT', body: 'x' })).status, 400)
    const inbox = new Inbox()
    await pair.device.subscribe(['#'], inbox.listener)
    await inbox.reach(2)
    assert.deepEqual(inbox.topics, ['a', 'c'])
    assert.equal(await (await fetch(`${view.url}/b`)).text(), 'post')
  })

  it('keeps the digits of a number, and refuses what is called JSON and is none', async () => {
    await using pair = await openMemoryPair()
    await using view = await openView(pair.broker)
    const body = '{ "big" : 12345678901234567890, "t": 21.50, "s": "a  \\" b" }'
    await fetch(`${view.url}/n`, { method: 'PUT', headers: json, body })
    assert.equal(
      await (await fetch(`${view.url}/n`)).text(),
      '{"big":12345678901234567890,"t":21.50,"s":"a  \\" b"}',
    )
    const broken = await fetch(`${view.url}/n`, { method: 'PUT', headers: json, body: '{' })
    assert.equal(((await broken.json()) as { code: string }).code, 'invalid-json')
  })

  it('takes what curl -d sends for what it is, and a form with a payload for a form', async () => {
    await using pair = await openMemoryPair()
    await using view = await openView(pair.broker)
    const form = { 'content-type': 'application/x-www-form-urlencoded' }
    await fetch(`${view.url}/a`, { method: 'PUT', headers: form, body: 'hello world' })
    assert.equal(await (await fetch(`${view.url}/a`)).text(), 'hello world')
    const sent = await fetch(`${view.url}/a`, {
      method: 'POST',
      headers: form,
      body: 'payload=a%2Bb&retain=true',
      redirect: 'manual',
    })
    assert.deepEqual([sent.status, sent.headers.get('location')], [303, '/topics/a'])
    assert.equal(await (await fetch(`${view.url}/a`)).text(), 'a+b')
  })

  it('answers 304 to who has the value, and refuses conditions on writes, which a broker does not know', async () => {
    await using pair = await openMemoryPair()
    await using view = await openView(pair.broker)
    await fetch(`${view.url}/a`, { method: 'PUT', headers: json, body: '1' })
    const etag = (await fetch(`${view.url}/a`)).headers.get('etag') ?? ''
    assert.equal((await fetch(`${view.url}/a`, { headers: { 'if-none-match': etag } })).status, 304)
    const conditional = await fetch(`${view.url}/a`, {
      method: 'PUT',
      headers: { ...json, 'if-match': etag },
      body: '2',
    })
    assert.equal(conditional.status, 412)
    assert.equal(await (await fetch(`${view.url}/a`)).text(), '1')
  })

  it('lists the values of a filter, page by page', async () => {
    await using pair = await openMemoryPair()
    await using view = await openView(pair.broker)
    for (const topic of ['b/2', 'b/1', 'a', 'b/3', 'ü'])
      await fetch(`${view.url}/${encodeURIComponent(topic)}`, { method: 'PUT', headers: text, body: topic })
    const first = await fetch(`${view.url}/b/%23?limit=2`)
    assert.deepEqual(
      ((await first.json()) as Entry[]).map(({ topic }) => topic),
      ['b/1', 'b/2'],
    )
    const next = /<([^>]*)>; rel="next"/.exec(first.headers.get('link') ?? '')?.[1] ?? ''
    const second = await fetch(new URL(next, view.url))
    assert.deepEqual(
      ((await second.json()) as Entry[]).map(({ topic }) => topic),
      ['b/3'],
    )
    assert.equal(second.headers.get('link'), null)
    const all = (await (await fetch(view.url)).json()) as Entry[]
    assert.deepEqual(
      all.map(({ topic }) => topic),
      ['a', 'b/1', 'b/2', 'b/3', 'ü'],
    )
  })

  it('refuses what cannot be a topic, and publishing to many', async () => {
    await using pair = await openMemoryPair()
    await using view = await openView(pair.broker)
    const put = { method: 'PUT', headers: text, body: 'x' }
    const cases: [string, RequestInit, number][] = [
      ['/a%23', {}, 400],
      ['/%', {}, 400],
      ['/%00', {}, 400],
      ['/a/%2B', put, 400],
      ['/$SYS/broker', put, 403],
      ['/a', { ...put, body: 'x'.repeat(262_145) }, 413],
      ['/a', { method: 'PATCH' }, 405],
    ]
    for (const [path, init, status] of cases)
      assert.deepEqual([path, (await fetch(view.url + path, init)).status], [path, status])
  })

  it('says who is not known (401) and who may not (403), and shows in lists and streams only what may be read', async () => {
    await using pair = await openMemoryPair()
    await using view = await openView(pair.broker, {
      access: request =>
        request.headers.authorization === 'Bearer t' ? { read: ['open/#'], publish: ['open/+'] } : undefined,
    })
    const known = { authorization: 'Bearer t', ...text }
    const unknown = await fetch(`${view.url}/open/a`)
    assert.deepEqual([unknown.status, unknown.headers.get('www-authenticate')], [401, 'Bearer'])
    assert.equal((await fetch(`${view.url}/secret`, { headers: known })).status, 403)
    assert.equal(
      (await fetch(`${view.url}/secret`, { method: 'PUT', headers: known, body: 'x' })).status,
      403,
    )
    assert.equal(
      (await fetch(`${view.url}/open/a/b`, { method: 'POST', headers: known, body: 'x' })).status,
      403,
    )
    assert.equal(
      (await fetch(`${view.url}/open/a`, { method: 'PUT', headers: known, body: 'x' })).status,
      204,
    )
    const events = await openEvents(`${view.url}/%23`, known)
    await pair.device.publish('secret', 'hidden')
    await pair.device.publish('open/b', 'shown')
    assert.deepEqual([(await events.next()).topic, (await events.next()).topic], ['open/a', 'open/b'])
    events.close()
    const list = (await (await fetch(view.url, { headers: known })).json()) as Entry[]
    assert.deepEqual(
      list.map(({ topic }) => topic),
      ['open/a', 'open/b'],
    )
  })

  it('lets pages of other sites do nothing, unless their origin is named', async () => {
    await using pair = await openMemoryPair()
    await using view = await openView(pair.broker, { origins: ['http://friend.example'] })
    const publish = (origin: string): Promise<Response> =>
      fetch(`${view.url}/a`, { method: 'POST', headers: { ...text, origin }, body: 'x' })
    assert.equal((await publish('http://evil.example')).status, 403)
    assert.equal((await publish('null')).status, 403)
    const friend = await publish('http://friend.example')
    assert.deepEqual(
      [friend.status, friend.headers.get('access-control-allow-origin')],
      [204, 'http://friend.example'],
    )
    assert.equal((await publish(new URL(view.url).origin)).status, 204)
    const preflight = await fetch(`${view.url}/a`, {
      method: 'OPTIONS',
      headers: { origin: 'http://friend.example' },
    })
    assert.match(preflight.headers.get('access-control-allow-methods') ?? '', /PUT/)
    const stranger = await fetch(`${view.url}/a`, {
      method: 'OPTIONS',
      headers: { origin: 'http://evil.example' },
    })
    assert.equal(stranger.headers.get('access-control-allow-methods'), null)
  })

  it('keeps last values in a file over a restart, and a PUT is in it when it is answered', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lockstep-topics-'))
    const file = join(folder, 'topics.db')
    try {
      {
        await using pair = await openMemoryPair()
        await using view = await openView(pair.broker, { file })
        await fetch(`${view.url}/a`, { method: 'POST', headers: text, body: 'kept' })
        await fetch(`${view.url}/b`, { method: 'POST', headers: text, body: 'taken away' })
        await fetch(`${view.url}/b`, { method: 'DELETE' })
        // A second view of the same file sees it, without the first one being closed.
        await using other = await openView(createMemoryHub().connect(), { file })
        assert.equal(await (await fetch(`${other.url}/a`)).text(), 'kept')
      }
      await using pair = await openMemoryPair()
      await using view = await openView(pair.broker, { file })
      assert.equal(await (await fetch(`${view.url}/a`)).text(), 'kept')
      assert.equal((await fetch(`${view.url}/b`)).status, 404)
      const list = (await (await fetch(view.url)).json()) as Entry[]
      assert.deepEqual(
        list.map(({ topic, text }) => [topic, text]),
        [['a', 'kept']],
      )
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it('keeps so many topics and says so once', async () => {
    await using pair = await openMemoryPair()
    await using view = await openView(pair.broker, { limits: { maxTopics: 2 } })
    for (const topic of ['a', 'b', 'c', 'd'])
      await fetch(`${view.url}/${topic}`, { method: 'PUT', headers: text, body: topic })
    assert.equal((await fetch(`${view.url}/c`)).status, 404)
    assert.equal(view.errors.length, 1)
    assert.match(String(view.errors[0]), /maxTopics/)
  })

  it('keeps so many bytes in memory: a value that finds no room takes the older one along', async () => {
    await using pair = await openMemoryPair()
    await using view = await openView(pair.broker, { limits: { maxBytes: 100 } })
    const put = async (topic: string, length: number): Promise<Response> =>
      await fetch(`${view.url}/${topic}`, { method: 'PUT', headers: text, body: 'x'.repeat(length) })
    await put('a', 50)
    await put('b', 90)
    assert.deepEqual(
      [(await fetch(`${view.url}/a`)).status, (await fetch(`${view.url}/b`)).status],
      [200, 404],
    )
    await put('a', 100)
    assert.equal((await fetch(`${view.url}/a`)).status, 404)
    await put('b', 90)
    assert.equal((await fetch(`${view.url}/b`)).status, 200)
    assert.match(String(view.errors[0]), /maxBytes/)
  })

  it('answers 503 when it is closed', async () => {
    await using pair = await openMemoryPair()
    await using view = await openView(pair.broker)
    await view.topics.close()
    const closed = await fetch(`${view.url}/a`)
    assert.deepEqual([closed.status, ((await closed.json()) as { code: string }).code], [503, 'closed'])
  })

  it('says 503 while the broker cannot be reached, and goes on showing what it has', async () => {
    const hub = createMemoryHub()
    await using view = await openView(hub.connect())
    await fetch(`${view.url}/a`, { method: 'PUT', headers: text, body: 'x' })
    hub.stop()
    const refused = await fetch(`${view.url}/a`, { method: 'PUT', headers: text, body: 'y' })
    assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '1'])
    assert.equal(await (await fetch(`${view.url}/a`)).text(), 'x')
  })

  it('streams over WebSockets, and publishes what a page sends there', async () => {
    await using pair = await openMemoryPair()
    await using view = await openView(pair.broker, {
      access: () => ({ read: ['#'], publish: ['lamp'] }),
    })
    await fetch(`${view.url}/lamp`, { method: 'PUT', headers: json, body: '0' })
    const socket = new WebSocket(`${view.url.replace('http', 'ws')}/lamp`)
    const frames: Record<string, unknown>[] = []
    let wake = (): void => {}
    socket.on('message', data => {
      frames.push(JSON.parse(String(data)) as Record<string, unknown>)
      wake()
    })
    const until = async (
      isIt: (frame: Record<string, unknown>) => boolean,
    ): Promise<Record<string, unknown>> => {
      for (;;) {
        const found = frames.find(isIt)
        if (found !== undefined) return found
        await new Promise<void>(resolve => (wake = resolve))
      }
    }
    const first = await until(({ topic }) => topic === 'lamp')
    assert.deepEqual([first['value'], first['last']], [0, true])
    socket.send('{"topic":"lamp","value":{"on":true},"retain":true,"ref":7}')
    await until(({ published }) => published === 7)
    await until(({ value }) => JSON.stringify(value) === '{"on":true}')
    socket.send('{"topic":"secret","text":"x","ref":"no"}')
    const refused = await until(frame => frame['refused'] === 'no')
    assert.equal((refused['problem'] as { code: string }).code, 'access-denied')
    socket.send('nonsense')
    const broken = await until(frame => frame['refused'] === null)
    assert.equal((broken['problem'] as { code: string }).code, 'invalid-frame')
    socket.close()
    const stranger = new WebSocket(`${view.url.replace('http', 'ws')}/lamp`, {
      headers: { origin: 'http://evil.example' },
    })
    const status = await new Promise(resolve => {
      stranger.on('unexpected-response', (_request, response) => resolve(response.statusCode))
      stranger.on('error', () => {})
    })
    assert.equal(status, 403)
  })

  it('cuts a reader that takes nothing, and harms nobody else', async () => {
    await using pair = await openMemoryPair()
    await using view = await openView(pair.broker, { limits: { maxUnsentBytes: 65_536 } })
    const { hostname, port } = new URL(view.url)
    const idle = connectSocket(Number(port), hostname)
    idle.on('error', () => {})
    const closed = new Promise(resolve => idle.once('close', resolve))
    idle.write('GET /topics/%23 HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n')
    await new Promise(resolve => idle.once('readable', resolve))
    const events = await openEvents(`${view.url}/end`)
    const big = 'x'.repeat(200_000)
    for (let count = 0; view.topics.streams > 1; count++) {
      assert.ok(count < 1_000, 'it was never cut')
      await pair.device.publish('big', big)
    }
    await pair.device.publish('end', 'x')
    assert.equal((await events.next()).topic, 'end')
    events.close()
    idle.resume()
    await closed
  })

  it('takes many streams and refuses one more', async () => {
    await using pair = await openMemoryPair()
    await using view = await openView(pair.broker, { limits: { maxStreams: 1 } })
    const events = await openEvents(`${view.url}/a`)
    const refused = await fetch(`${view.url}/a`, { headers: { accept: 'text/event-stream' } })
    assert.equal(((await refused.json()) as { code: string }).code, 'too-many-followers')
    events.close()
  })
})
