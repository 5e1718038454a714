/** Several URLs are the nodes of one broker: which of them is taken, and what is told of the others. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { connectMqtt, openEmbeddedBroker } from '../../src/broker/index.ts'
import { connect as connectApi } from '../../src/client/connection.ts'
import { connection, Inbox, rejects } from '../support/inbox.ts'
import { freePort } from '../support/mosquitto.ts'
import { answers, connect, open, openScriptedBroker, subscribe } from './scripted-broker.ts'

describe('connectMqtt with the URLs of several nodes', () => {
  it('begins with the first, and goes on to the next with its subscriptions when that is lost', async () => {
    const publishers = { client: 'secret' }
    const first = await openEmbeddedBroker({ port: 0, publishers })
    await using second = await openEmbeddedBroker({ port: 0, publishers })
    const credentials = { username: 'client', password: 'secret' }
    await using client = await open([first.url, second.url], credentials)
    const inbox = new Inbox()
    await client.subscribe(['people/+'], inbox.listener)
    await first.publish('people/1', 'first')
    await inbox.reachPayload('first')
    const lost = connection(client, false)
    await first.close()
    await lost
    await connection(client)
    await second.publish('people/1', 'second')
    await inbox.reachPayload('second')
    await client.publish('people/2', 'by the client')
    await inbox.reachPayload('by the client')
    assert.deepEqual(inbox.payloads, ['first', 'second', 'by the client'])
  })

  it('comes back to the first when the others are gone', async () => {
    const first = await openEmbeddedBroker({ port: 0 })
    const second = await openEmbeddedBroker({ port: 0 })
    await using client = await open([first.url, second.url])
    await connection(client)
    const lost = connection(client, false)
    await first.close()
    await lost
    await connection(client)
    await using back = await openEmbeddedBroker({ port: first.port })
    const lostAgain = connection(client, false)
    await second.close()
    await lostAgain
    await connection(client)
    const inbox = new Inbox()
    await client.subscribe(['people'], inbox.listener)
    await back.publish('people', 'x')
    await inbox.reachPayload('x')
  })

  it('leaves a node that refuses it, and one that says nothing', async () => {
    let attempts = 0
    await using refusing = await openScriptedBroker((type, _packet, socket) => {
      if (type === connect) attempts++
      socket.end(answers.refuse(3))
    })
    await using silent = await openScriptedBroker(() => {})
    await using broker = await openEmbeddedBroker({ port: 0 })
    await using client = await open([refusing.url, silent.url, broker.url], { connectTimeoutMs: 50 })
    await connection(client)
    assert.equal(attempts, 1)
    assert.deepEqual(
      client.reports.all.map(({ code }) => code),
      ['broker-refused', 'broker-unreachable'],
    )
  })

  it('leaves a node that refuses again and again what another one had granted, once', async () => {
    const asked = [0, 0]
    let isGranting = true
    const openNode = (node: number): ReturnType<typeof openScriptedBroker> =>
      openScriptedBroker((type, packet, socket) => {
        if (type === connect) socket.write(answers.accept)
        if (type !== subscribe) return
        asked[node]!++
        socket.write(answers.granted(packet, [node === 0 && isGranting ? 1 : 0x80]))
      })
    await using first = await openNode(0)
    await using second = await openNode(1)
    await using client = await open([first.url, second.url])
    let granted = Promise.withResolvers<void>()
    await client.subscribe(['t'], () => {}, { onRefused: () => {}, onGranted: () => granted.resolve() })
    first.cut()
    await granted.promise
    assert.deepEqual(asked, [2, 3])
    // Where all refuse, it stays with the node that it comes to.
    isGranting = false
    granted = Promise.withResolvers<void>()
    first.cut()
    await client.reports.find(({ text }) => text.includes('refuses again and again'))
    while (asked[0]! < 6) await new Promise(resolve => setImmediate(resolve))
    assert.equal(asked[1], 6)
    isGranting = true
    await granted.promise
    assert.equal(first.connections, 3)
  })

  it('tells of each node once why there is no connection, and names them all where it is missed', async () => {
    const ports = [await freePort(), await freePort()]
    const urls = ports.map(port => `mqtt://user:secret@127.0.0.1:${port}`)
    await using client = await open(urls)
    const shown = ports.map(port => `mqtt://127.0.0.1:${port}`)
    await assert.rejects(client.publish('people', 'x'), {
      code: 'broker-unreachable',
      message: `There is no connection to the broker at ${shown.join(' or ')}. Publish again when it is up.`,
    })
    await client.reports.find(({ text }) => text.includes(shown[1]!))
    await using _broker = await openEmbeddedBroker({ port: ports[0]!, publishers: { user: 'secret' } })
    await connection(client)
    assert.deepEqual(
      client.reports.all.map(({ text }) => text.split('. ')[0]),
      shown.map(url => `No broker listens at ${url}`),
    )
  })

  it('takes user name and password of each URL, or for all from the options', async () => {
    const onError = (): void => {}
    await using one = await openEmbeddedBroker({ port: 0, publishers: { one: 'first' }, onError })
    await using two = await openEmbeddedBroker({ port: 0, publishers: { two: 'second' }, onError })
    const at = (user: string, port: number): string => `mqtt://${user}@127.0.0.1:${port}`
    await using client = await open([at('one:wrong', one.port), at('two:second', two.port)])
    await connection(client)
    assert.match(client.reports.all[0]!.text, /password is wrong/)
    await using other = await open([at('two:second', two.port), at('one:wrong', one.port)], {
      username: 'one',
      password: 'first',
    })
    await connection(other)
    assert.match(other.reports.all[0]!.text, /password is wrong/)
  })

  it('refuses no URL, too many, and one that cannot be used, without showing a password', async () => {
    await rejects(connectMqtt([]), 'invalid-option')
    await rejects(connectMqtt(Array.from({ length: 33 }, () => 'mqtt://localhost')), 'invalid-option')
    await assert.rejects(connectMqtt(['mqtt://localhost', 'http://user:secret@localhost']), error => {
      assert.ok(error instanceof Error)
      assert.match(error.message, /the scheme "http" is unknown/)
      assert.doesNotMatch(error.message, /secret/)
      return true
    })
    await assert.rejects(connectMqtt(['mqtt://localhost', 5 as unknown as string]), /broker's URL is 5/)
  })

  it('is what followers take too', async () => {
    const asked = Promise.withResolvers<void>()
    await using broker = await openScriptedBroker(type => type === connect && asked.resolve())
    const nobody = `mqtt://127.0.0.1:${await freePort()}`
    const api = 'http://127.0.0.1:1'
    const lockstep = await connectApi({ api, broker: [nobody, new URL(broker.url)], onError: () => {} })
    await asked.promise
    await lockstep.close()
    await rejects(connectApi({ api, broker: [] }), 'invalid-option')
    await rejects(connectApi({ api, broker: [5 as unknown as URL] }), 'invalid-option')
  })
})
