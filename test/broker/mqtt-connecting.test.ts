import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { describe, it } from 'node:test'
import { promisify } from 'node:util'
import { type ConnectMqttOptions, connectMqtt, openEmbeddedBroker } from '../../src/broker/index.ts'
import { connection, rejects } from '../support/inbox.ts'
import { freePort } from '../support/mosquitto.ts'
import { answers, connect, open, openScriptedBroker, puback, publish, subscribe } from './scripted-broker.ts'

describe('connectMqtt: options', () => {
  const refused = {
    'what is no URL': 'localhost:1883/x y',
    'an empty text': '',
    'another scheme': 'http://user:secret@localhost',
    'no host': 'mqtt://',
    'port 0': 'mqtt://localhost:0',
    'a port that is none': 'mqtt://user:secret@localhost:99999',
    'a path over TCP': 'mqtt://user:secret@localhost/people',
    'a password that is not percent-encoded': 'mqtt://user:secret%zz@localhost',
  }
  for (const [name, url] of Object.entries(refused)) {
    it(`refuses ${name}, and shows no password`, async () => {
      await assert.rejects(connectMqtt(url), error => {
        assert.ok(error instanceof Error && 'code' in error)
        assert.equal(error.code, 'invalid-option')
        assert.doesNotMatch(error.message, /secret/)
        return true
      })
    })
  }

  it('refuses values that cannot be', async () => {
    const url = 'mqtt://localhost'
    const options: ConnectMqttOptions[] = [
      { keepaliveMs: 0 },
      { connectTimeoutMs: Number.NaN },
      { retry: { minDelayMs: 0 } },
      { retry: { minDelayMs: 500, maxDelayMs: 100 } },
      { limits: { maxInFlight: 0 } },
      { protocolVersion: 3 as 4 },
      { password: 'without a name' },
    ]
    for (const each of options) await rejects(connectMqtt(url, each), 'invalid-option')
    await rejects(connectMqtt('mqtts://localhost', { cert: 'none', key: 'none' }), 'invalid-option')
  })

  it('refuses what is no URL or no options, and options that are not known', async () => {
    const connectAny = connectMqtt as (...values: unknown[]) => Promise<unknown>
    for (const url of [undefined, null, 5, {}, Promise.resolve('mqtt://localhost')])
      await rejects(connectAny(url), 'invalid-option')
    await assert.rejects(connectAny(Promise.resolve('')), /did you forget await/)
  })

  it('takes user name and password from the URL, percent-decoded', async () => {
    const password = 'p@ss:/ wörd%'
    await using broker = await openEmbeddedBroker({ port: 0, publishers: { 'a user': password } })
    const url = `mqtt://a%20user:${encodeURIComponent(password)}@127.0.0.1:${broker.port}`
    await using client = await open(url)
    await connection(client)
    await client.publish('people', 'x')
  })

  it('loads mqtt.js when it connects, not when the part is imported', async () => {
    const script = `
      import { createRequire } from 'node:module'
      const loaded = () => Object.keys(createRequire(import.meta.url).cache).some(path => /[\\\\/]mqtt[\\\\/]/.test(path))
      const { connectMqtt } = await import('lockstep/broker')
      const before = loaded()
      const broker = await connectMqtt('mqtt://127.0.0.1:1', { onError: () => {} })
      await broker.close()
      console.log(before, loaded())`
    const { stdout } = await promisify(execFile)(process.execPath, [
      ...['--conditions=lockstep-source', '--disable-warning=ExperimentalWarning', '--input-type=module'],
      ...['--eval', script],
    ])
    assert.equal(stdout.trim(), 'false true')
  })
})

describe('connectMqtt: connecting', () => {
  it('resolves while nobody listens, says so once, and is up when somebody does', async () => {
    const port = await freePort()
    await using client = await open(`mqtt://user:secret@127.0.0.1:${port}`, {
      username: 'service',
      password: 'pw',
    })
    assert.equal(client.connected, false)
    const report = await client.reports.stage('mqtt connection')
    assert.deepEqual(report, {
      stage: 'mqtt connection',
      code: 'broker-unreachable',
      text: `No broker listens at mqtt://127.0.0.1:${port}. Start it or correct the URL; it is tried again.`,
    })
    await using _broker = await openEmbeddedBroker({ port, publishers: { service: 'pw' } })
    await connection(client)
    assert.equal(client.reports.all.length, 1)
  })

  it('says on standard error, where nobody else is told, why it is down and that it is back, each once', async () => {
    const port = await freePort()
    const script = `
      const { once } = await import('node:events')
      const { connectMqtt, openEmbeddedBroker } = await import('lockstep/broker')
      const broker = await connectMqtt('mqtt://127.0.0.1:${port}', { retry: { minDelayMs: 1, maxDelayMs: 5 } })
      const turn = up => new Promise(done => { const end = broker.onConnection(now => now === up && (end(), done())) })
      for (let times = 0; times < 2; times++) {
        const listener = await openEmbeddedBroker({ port: ${port} })
        if (!broker.connected) await turn(true)
        const down = turn(false)
        await listener.close()
        await down
      }
      await broker.close()`
    const { stderr } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script])
    const lines = stderr.trim().split('\n')
    assert.ok(
      lines.every(line => line.startsWith('lockstep: mqtt connection: ')),
      stderr,
    )
    const isBack = `lockstep: mqtt connection: The connection to mqtt://127.0.0.1:${port} is up.`
    const first = lines.indexOf(isBack)
    assert.ok(first >= 0, stderr)
    const lost = lines.findIndex(line => /was lost: .+ It is being connected again/.test(line))
    assert.ok(lost > first, stderr)
    for (const [index, line] of lines.entries())
      assert.ok(line !== isBack || lines[index + 1] !== isBack, stderr)
  })

  const refusals: [number, RegExp][] = [
    [1, /does not speak MQTT 3\.1\.1\. Set protocolVersion to 5/],
    [2, /does not take the client id "lockstep-[0-9a-f]{14}"\. Choose another clientId/],
    [3, /not available now/],
    [4, /user name or password is wrong/],
    [5, /not authorized/],
    [77, /with code 77/],
  ]
  for (const [code, text] of refusals) {
    it(`explains the refusal ${code} once, and tries again`, async () => {
      let attempts = 0
      const enough = Promise.withResolvers<void>()
      await using broker = await openScriptedBroker((_type, _packet, socket) => {
        if (++attempts === 4) enough.resolve()
        socket.end(answers.refuse(code))
      })
      await using client = await open(broker.url)
      await enough.promise
      assert.equal(client.reports.all.length, 1)
      assert.equal(client.reports.all[0]!.code, 'broker-refused')
      assert.match(client.reports.all[0]!.text, text)
      assert.ok(client.reports.all[0]!.text.includes(broker.url))
    })
  }

  it('explains that MQTT 5 is not spoken', async () => {
    await using broker = await openEmbeddedBroker({ port: 0 })
    await using client = await open(broker.url, { protocolVersion: 5 })
    assert.match(
      (await client.reports.stage('mqtt connection')).text,
      /does not speak MQTT 5\. Set protocolVersion to 4/,
    )
  })

  it('explains a port that answers nothing, or closes', async () => {
    await using closing = await openScriptedBroker((_type, _packet, socket) => socket.end())
    await using first = await open(closing.url)
    assert.match(
      (await first.reports.stage('mqtt connection')).text,
      /closed the connection before it answered/,
    )
    await using silent = await openScriptedBroker(() => {})
    await using second = await open(silent.url, { connectTimeoutMs: 20 })
    const { code, text } = await second.reports.stage('mqtt connection')
    assert.equal(code, 'broker-unreachable')
    assert.match(text, /connack timeout.*Check that it is an MQTT port/)
    await using web = await openScriptedBroker((_type, _packet, socket) => {
      socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')
    })
    await using third = await open(web.url)
    assert.match((await third.reports.stage('mqtt connection')).text, /Check that it is an MQTT port/)
  })

  it('explains a host that is not known', async () => {
    await using client = await open('mqtt://nowhere.invalid')
    assert.match(
      (await client.reports.stage('mqtt connection')).text,
      /nowhere\.invalid:1883 (is not known|cannot be reached)/,
    )
  })

  it('asks for a clean session, QoS 1 and a keepalive', async () => {
    const packets: [number, Buffer][] = []
    await using broker = await openScriptedBroker((type, packet, socket) => {
      packets.push([type, packet])
      if (type === connect) socket.write(answers.accept)
      if (type === subscribe) socket.write(answers.granted(packet, [1]))
      if (type === publish) socket.write(puback(packet))
    })
    await using client = await open(broker.url, { clientId: 'x', keepaliveMs: 20_000 })
    await client.subscribe(['t'], () => {})
    await connection(client)
    await client.publish('t', 'p')
    assert.deepEqual(
      packets.map(([, packet]) => packet.toString('hex')),
      [
        // Protocol level 4, clean session, 20 s, id "x".
        '100d00044d5154540402001400' + '0178',
        // QoS 1.
        `8206${packets[1]![1].subarray(2, 4).toString('hex')}00017401`,
        // QoS 1, neither DUP nor RETAIN.
        `3206000174${packets[2]![1].subarray(5, 7).toString('hex')}70`,
      ],
    )
  })

  it('says goodbye when it is closed', async () => {
    const types: number[] = []
    const goodbye = Promise.withResolvers<void>()
    await using broker = await openScriptedBroker((type, _packet, socket) => {
      types.push(type)
      if (type === connect) socket.write(answers.accept)
      if (type === 14) goodbye.resolve()
    })
    const client = await open(broker.url)
    await connection(client)
    await client.close()
    await goodbye.promise
    assert.deepEqual(types, [connect, 14])
    assert.deepEqual(client.reports.all, [])
  })

  it('is closed at once while the broker has not answered yet', async () => {
    const asked = Promise.withResolvers<void>()
    await using broker = await openScriptedBroker(() => asked.resolve())
    const client = await open(broker.url)
    await asked.promise
    const startMs = performance.now()
    await client.close()
    assert.ok(performance.now() - startMs < 900, 'it does not wait for the time a goodbye may take')
    assert.equal(broker.connections, 1)
  })
})
