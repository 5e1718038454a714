import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { describe, it } from 'node:test'
import { type EmbeddedBroker, openEmbeddedBroker } from '../../src/broker/index.ts'
import { Inbox } from '../support/inbox.ts'
import { findProgram } from '../support/mosquitto.ts'
import { Reports } from '../support/reports.ts'

const mosquittoSub = findProgram('mosquitto_sub')
const mosquittoPub = findProgram('mosquitto_pub')
const skip =
  mosquittoSub === undefined || mosquittoPub === undefined
    ? 'mosquitto_sub or mosquitto_pub is not installed'
    : false

async function open(): Promise<EmbeddedBroker & { reports: Reports }> {
  const reports = new Reports()
  const broker = await openEmbeddedBroker({ port: 0, publishers: { device: 'pw' }, onError: reports.onError })
  return Object.assign(broker, { reports })
}

function start(
  program: string | undefined,
  broker: EmbeddedBroker,
  options: readonly string[],
): ChildProcess {
  return spawn(program!, ['-h', '127.0.0.1', '-p', `${broker.port}`, ...options], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

async function exitCode(child: ChildProcess): Promise<number> {
  const [code] = await once(child, 'exit')
  return Number(code)
}

/** Starts mosquitto_sub and resolves when it is subscribed. */
async function subscriber(broker: EmbeddedBroker, filters: readonly string[], count: number) {
  const child = start(mosquittoSub, broker, [
    '-d',
    '-q',
    '1',
    '-C',
    `${count}`,
    '-F',
    '> %r %t %p',
    ...filters.flatMap(filter => ['-t', filter]),
  ])
  const lines: string[] = []
  const subscribed = Promise.withResolvers<void>()
  const done = exitCode(child)
  createInterface({ input: child.stdout! }).on('line', line => {
    if (line.startsWith('> ')) lines.push(line.slice(2))
    else if (line.startsWith('Subscribed')) subscribed.resolve()
  })
  await Promise.race([
    subscribed.promise,
    done.then(code => Promise.reject(new Error(`mosquitto_sub ended with ${code} before it was subscribed`))),
  ])
  return { lines, done }
}

describe('embedded broker, with programs that know nothing of us', { skip }, () => {
  it('mosquitto_sub hears what the process publishes, in order, retained heads first', async () => {
    await using broker = await open()
    await broker.publish('lockstep/head/people', 'a head', { retain: true })
    const { lines, done } = await subscriber(broker, ['lockstep/head/people', 'people/#'], 4)
    await broker.publish('people', '{"event":"created"}')
    await broker.publish('people/a%2Fb', '{"event":"modified"}')
    await broker.publish('people/a%2Fb', '{"event":"deleted"}')
    assert.equal(await done, 0)
    assert.deepEqual(lines, [
      '1 lockstep/head/people a head',
      '0 people {"event":"created"}',
      '0 people/a%2Fb {"event":"modified"}',
      '0 people/a%2Fb {"event":"deleted"}',
    ])
  })

  it('mosquitto_pub publishes with a password at every quality of service', async () => {
    await using broker = await open()
    const inbox = new Inbox()
    await broker.subscribe(['devices/+'], inbox.listener)
    for (const qos of ['0', '1', '2']) {
      const options = ['-u', 'device', '-P', 'pw', '-q', qos, '-t', 'devices/1', '-m', `qos ${qos}`]
      assert.equal(await exitCode(start(mosquittoPub, broker, options)), 0)
    }
    await inbox.reach(3)
    assert.deepEqual(inbox.payloads, ['qos 0', 'qos 1', 'qos 2'])
  })

  it('mosquitto_pub without a password, or with a wrong one, changes nothing', async () => {
    await using broker = await open()
    const inbox = new Inbox()
    await broker.subscribe(['#'], inbox.listener)
    const forged = start(mosquittoPub, broker, ['-q', '1', '-t', 'people', '-m', 'forged', '-r'])
    const gone = exitCode(forged)
    await broker.reports.stage('embedded broker publish')
    forged.kill()
    await gone
    const wrong = start(mosquittoPub, broker, [
      '-u',
      'device',
      '-P',
      'no',
      '-q',
      '1',
      '-t',
      'people',
      '-m',
      'forged',
    ])
    assert.notEqual(await exitCode(wrong), 0)
    await broker.publish('people', 'true')
    await inbox.reach(1)
    assert.deepEqual(inbox.payloads, ['true'])
  })
})
