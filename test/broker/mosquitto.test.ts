import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { globSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { promisify } from 'node:util'
import { connectAsync } from 'mqtt'
import { connect } from '../../src/client/connection.ts'
import { hasStatus } from '../support/follower-checks.ts'
import { connection, Inbox, rejects } from '../support/inbox.ts'
import {
  findProgram,
  freePort,
  type MosquittoOptions,
  skipWithoutMosquitto,
  startMosquitto,
} from '../support/mosquitto.ts'
import { Reports } from '../support/reports.ts'
import { openTestService } from '../support/service.ts'
import { open } from './scripted-broker.ts'

const run = promisify(execFile)
/** Where Debian keeps it; only with it does Mosquitto refuse filters. */
const [securityPlugin] = globSync('/usr/lib/*/mosquitto_dynamic_security.so')
const skip = skipWithoutMosquitto

/** A plain-text file of Mosquitto's passwords, hashed by its own program. */
async function passwordFile(name: string, password: string): Promise<string> {
  const program = findProgram('mosquitto_passwd')
  assert.ok(program, 'mosquitto_passwd comes with mosquitto')
  const dir = await mkdtemp(join(tmpdir(), 'lockstep-passwords-'))
  try {
    await run(program, ['-c', '-b', join(dir, 'passwords'), name, password])
    return await readFile(join(dir, 'passwords'), 'utf8')
  } finally {
    await rm(dir, { recursive: true })
  }
}

/** Anyone may do anything but subscribe, and subscribe to this. */
function onlyReading(filter: string): MosquittoOptions {
  const open = { publishClientSend: true, publishClientReceive: true, subscribe: false, unsubscribe: true }
  const security = {
    defaultACLAccess: open,
    groups: [{ groupname: 'all', roles: [{ rolename: 'reader' }] }],
    roles: [
      {
        rolename: 'reader',
        acls: [
          { acltype: 'subscribePattern', topic: filter, allow: true },
          // Where rights are changed while it runs.
          { acltype: 'publishClientSend', topic: '$CONTROL/#', allow: true },
        ],
      },
    ],
    anonymousGroup: 'all',
  }
  return {
    config: `allow_anonymous true\nplugin ${securityPlugin}\nplugin_opt_config_file {dir}/security.json`,
    files: { 'security.json': JSON.stringify(security) },
  }
}

describe('connectMqtt with Mosquitto', { skip }, () => {
  it('is told of a wrong password, and connects with the right one', async () => {
    await using mosquitto = await startMosquitto({
      config: 'allow_anonymous false\npassword_file {dir}/passwords',
      files: { passwords: await passwordFile('service', 'right') },
    })
    for (const protocolVersion of [4, 5] as const) {
      await using wrong = await open(mosquitto.url, {
        username: 'service',
        password: 'wrong',
        protocolVersion,
      })
      const { code, text } = await wrong.reports.stage('mqtt connection')
      assert.equal(code, 'broker-refused')
      assert.match(text, /password/)
      await using right = await open(mosquitto.url, {
        username: 'service',
        password: 'right',
        protocolVersion,
      })
      await connection(right)
    }
  })

  const skipWithoutPlugin = securityPlugin === undefined && 'its security plugin is missing'

  it('is told that a filter is not allowed', { skip: skipWithoutPlugin }, async () => {
    await using mosquitto = await startMosquitto(onlyReading('people/#'))
    for (const protocolVersion of [4, 5] as const) {
      await using client = await open(mosquitto.url, { protocolVersion })
      const inbox = new Inbox()
      await client.subscribe(['people/#'], inbox.listener)
      await rejects(
        client.subscribe(['people/1', 'groups/#'], () => {}),
        'broker-refused',
      )
      await client.publish('people/1', 'x')
      await inbox.reach(1)
    }
  })

  it('lets a follower be live as soon as the right to read is given', {
    skip: skipWithoutPlugin,
  }, async () => {
    await using mosquitto = await startMosquitto(onlyReading('lockstep/#'))
    await using publisher = await open(mosquitto.url)
    await connection(publisher)
    await using service = await openTestService({ broker: publisher })
    await using reader = await open(mosquitto.url)
    const reports = new Reports()
    await using lockstep = await connect({
      api: 'http://service.test',
      fetch: (input, init) => service.service.fetch(new Request(input, init)),
      broker: reader,
      onError: reports.onError,
    })
    const follower = lockstep.follow('/people')
    const { code, text } = await reports.find(report => report.code === 'broker-refused')
    assert.match(text, /refused the subscription to "people\/#"/, code)
    assert.notEqual(follower.status, 'live')
    const administrator = await connectAsync(mosquitto.url)
    const right = { rolename: 'reader', acltype: 'subscribePattern', topic: 'people/#', allow: true }
    await administrator.publishAsync(
      '$CONTROL/dynamic-security/v1',
      JSON.stringify({ commands: [{ command: 'addRoleACL', ...right }] }),
      { qos: 1 },
    )
    await administrator.endAsync(true)
    await hasStatus(follower, 'live')
  })

  it('is told by MQTT 5 that a message is not allowed', async () => {
    await using mosquitto = await startMosquitto({
      config: 'allow_anonymous true\nacl_file {dir}/acl',
      files: { acl: 'topic read #\ntopic write own/#\n' },
    })
    await using client = await open(mosquitto.url, { protocolVersion: 5 })
    await connection(client)
    await rejects(client.publish('people', 'x'), 'broker-refused')
    await client.publish('own/people', 'x')
    assert.equal(client.connected, true)
  })

  it('knows by MQTT 5 what the broker finds too large, before it is cut for it', async () => {
    await using mosquitto = await startMosquitto({ config: 'allow_anonymous true\nmax_packet_size 2000' })
    await using client = await open(mosquitto.url, { protocolVersion: 5 })
    await connection(client)
    await rejects(client.publish('people', 'x'.repeat(2_000)), 'message-too-large')
    await client.publish('people', 'x'.repeat(1_900))
    assert.deepEqual(client.reports.all, [])
  })

  it('keeps to the number of messages that an MQTT 5 broker takes at once', async () => {
    await using mosquitto = await startMosquitto({ config: 'allow_anonymous true\nmax_inflight_messages 2' })
    await using client = await open(mosquitto.url, { protocolVersion: 5 })
    const inbox = new Inbox()
    await client.subscribe(['people'], inbox.listener)
    await Promise.all(Array.from({ length: 500 }, (_, index) => client.publish('people', `${index}`)))
    await inbox.reach(500)
    assert.deepEqual(inbox.payloads.map(Number), [...Array(500).keys()])
    assert.deepEqual(client.reports.all, [])
  })

  it('marks messages as JSON on MQTT 5', async () => {
    await using mosquitto = await startMosquitto()
    const listener = await connectAsync(mosquitto.url, { protocolVersion: 5 })
    try {
      await listener.subscribeAsync('people')
      const heard = new Promise(resolve => {
        listener.once('message', (_topic, _payload, packet) => resolve(packet.properties?.contentType))
      })
      await using client = await open(mosquitto.url, { protocolVersion: 5 })
      await connection(client)
      await client.publish('people', '{}')
      assert.equal(await heard, 'application/json')
    } finally {
      await listener.endAsync(true)
    }
  })

  it('leaves a broker that hangs when an acknowledgement is late, and finds it again', async () => {
    await using mosquitto = await startMosquitto()
    await using client = await open(mosquitto.url, { connectTimeoutMs: 200 })
    await connection(client)
    mosquitto.pause()
    await Promise.all([
      connection(client, false),
      rejects(client.publish('people', 'x', { timeoutMs: 50 }), 'timeout'),
    ])
    mosquitto.resume()
    await connection(client)
    await client.publish('people', 'y')
  })

  it('leaves a broker that is silent for one and a half keepalives', async () => {
    await using mosquitto = await startMosquitto()
    await using client = await open(mosquitto.url, { keepaliveMs: 1_000, connectTimeoutMs: 200 })
    await connection(client)
    mosquitto.pause()
    await connection(client, false)
    assert.match(client.reports.all[0]!.text, /Keepalive timeout/)
    mosquitto.resume()
    await connection(client)
  })

  it('says what to look for when another client takes its id', async () => {
    await using mosquitto = await startMosquitto()
    await using first = await open(mosquitto.url, { clientId: 'the-same' })
    await connection(first)
    await using _second = await open(mosquitto.url, { clientId: 'the-same' })
    assert.match((await first.reports.stage('mqtt connection')).text, /another client uses the id "the-same"/)
  })

  it('speaks MQTT over WebSocket', async () => {
    const port = await freePort()
    await using _mosquitto = await startMosquitto({
      config: `allow_anonymous true\nlistener ${port} 127.0.0.1\nprotocol websockets`,
    })
    await using client = await open(`ws://127.0.0.1:${port}/mqtt?x=1`)
    const inbox = new Inbox()
    await client.subscribe(['people'], inbox.listener)
    await connection(client)
    await client.publish('people', 'x')
    await inbox.reach(1)
  })
})

const openssl = findProgram('openssl')

describe('connectMqtt over TLS', {
  skip: skip || (openssl === undefined && 'openssl is not installed'),
}, () => {
  it('trusts the authority it is given, and says so where it has none', async () => {
    const { certificate, key } = await selfSigned()
    const port = await freePort()
    await using _mosquitto = await startMosquitto({
      config: `allow_anonymous true\nlistener ${port} 127.0.0.1\ncertfile {dir}/certificate\nkeyfile {dir}/key`,
      files: { certificate, key },
    })
    await using stranger = await open(`mqtts://127.0.0.1:${port}`)
    const { code, text } = await stranger.reports.stage('mqtt connection')
    assert.equal(code, 'broker-unreachable')
    assert.match(text, /TLS with the broker .* failed \(.*SELF_SIGNED.*\).*as ca\./)
    await using client = await open(`mqtts://127.0.0.1:${port}`, { ca: certificate })
    await connection(client)
    await client.publish('people', 'x')
    await using plain = await open(`mqtts://127.0.0.1:${_mosquitto.port}`, { ca: certificate })
    assert.equal((await plain.reports.stage('mqtt connection')).code, 'broker-unreachable')
  })
})

async function selfSigned(): Promise<{ certificate: string; key: string }> {
  const dir = await mkdtemp(join(tmpdir(), 'lockstep-tls-'))
  try {
    const files = ['-keyout', join(dir, 'key'), '-out', join(dir, 'certificate')]
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    const name = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
    await run(openssl!, ['req', '-x509', ...curve, ...files, '-days', '2', ...name])
    return {
      certificate: await readFile(join(dir, 'certificate'), 'utf8'),
      key: await readFile(join(dir, 'key'), 'utf8'),
    }
  } finally {
    await rm(dir, { recursive: true })
  }
}
