/** A client that knows nothing of us, `mosquitto_sub`, sees the messages of PROTOCOL.md §3 on a real broker. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import test from 'node:test'
import { connectMqtt } from '../../src/broker/mqtt.ts'
import { defineResource } from '../../src/service/resource.ts'
import { findProgram, skipWithoutMosquitto, startMosquitto } from '../support/mosquitto.ts'
import { openTestService } from '../support/service.ts'

const users = defineResource('users', { schema: { type: 'object' } })
const program = findProgram('mosquitto_sub')
const skip =
  skipWithoutMosquitto || (program === undefined ? 'the program mosquitto_sub is not installed' : false)

test('2.3 3.1 mosquitto_sub sees each change on the topic of its endpoint, exactly as it is specified', {
  skip,
}, async t => {
  await using mosquitto = await startMosquitto()
  await using broker = await connectMqtt(mosquitto.url)
  if (!broker.connected) await new Promise(resolve => broker.onConnection(resolve))
  // A message that is kept comes first, which shows that the subscription stands.
  await broker.publish('users/kept', 'here', { retain: true })
  const client = spawn(program!, ['-p', String(mosquitto.port), '-t', 'users/#', '-v', '-q', '1'])
  t.after(() => client.kill())
  const heard: string[] = []
  const lines = createInterface(client.stdout).on('line', line => heard.push(line))
  const until = async (count: number): Promise<void> => {
    while (heard.length < count) await once(lines, 'line')
  }
  await until(1)
  await using api = await openTestService({
    resources: [users],
    broker,
    now: () => Date.parse('2026-01-31T12:00:00.000Z'),
  })
  const ask = (method: string, path: string, body?: unknown) =>
    api.ask(method, path, { body, headers: { 'x-request-id': 'q3f' } })
  await ask('POST', '/users', { id: 'johndoe', name: 'John Doe', email: '' })
  await ask('PATCH', '/users/johndoe', { email: 'john@example.com' })
  await ask('PUT', '/users/johndoe', { name: 'John' })
  await ask('PATCH', '/users/johndoe', { name: 'John' })
  await ask('DELETE', '/users/johndoe')
  await ask('PUT', '/users/a%20b%2F%2B', { name: 'Plus' })
  await ask('POST', '/users', { id: 'big', text: 'x'.repeat(70_000) })
  await until(7)
  const { epoch } = await api.log.head('users')
  const rest = (version: number, seq: number): string =>
    `"version":${version},"time":"2026-01-31T12:00:00.000Z","cause":"q3f","id":"users:${epoch}:${seq}"`
  assert.deepEqual(heard.slice(1), [
    `users {"event":"created","state":{"id":"johndoe","name":"John Doe","email":""},"resource":"/users/johndoe",${rest(1, 1)}}`,
    `users/johndoe {"event":"modified","changes":{"email":"john@example.com"},"resource":"/users/johndoe",${rest(2, 2)}}`,
    `users/johndoe {"event":"modified","state":{"id":"johndoe","name":"John"},"resource":"/users/johndoe",${rest(3, 3)}}`,
    `users/johndoe {"event":"deleted","resource":"/users/johndoe",${rest(4, 4)}}`,
    `users/a%20b%2F%2B {"event":"created","state":{"id":"a b/+","name":"Plus"},"resource":"/users/a%20b%2F%2B",${rest(1, 5)}}`,
    `users {"event":"created","resource":"/users/big",${rest(1, 6)},"ref":true}`,
  ])
})
