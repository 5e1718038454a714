/** `lockstep tail`: what the broker delivers; and, with an API, everything once and in order. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openEmbeddedBroker } from 'lockstep/broker'
import { formatHead, type Message, parsePosition } from 'lockstep/contract'
import { runProgram, startProgram } from './program.ts'
import { openSystem, people } from './system.ts'

test('it prints time, topic, event, version and changes of each message; heads only with --heads', async t => {
  const system = await openSystem(t)
  const tail = startProgram(t, ['tail', '#', '--broker', system.broker.url])
  const heads = startProgram(t, ['tail', 'people/#', '--broker', system.broker.url, '--heads'])
  await Promise.all([tail.printed(/Listening to #/), heads.printed(/Listening to people\/#/)])
  await system.put('ann', 'Ann')
  await system.put('ann', 'Ann\u009b2J')
  await system.service.transaction(tx => tx.remove(people, 'ann'))
  await system.broker.publish('people/odd', 'no JSON\u001b[2J')
  await tail.printed(/^\d\d:\d\d:\d\d\.\d{3} {2}people\/ann {2}created v1 {2}\{"id":"ann","name":"Ann"\}$/m)
  await tail.printed(/people\/ann {2}modified v2 {2}\{"id":"ann","name":"Ann\\u009b2J"\}$/m)
  await tail.printed(/people\/ann {2}deleted v3$/m)
  await tail.printed(/people\/odd {2}no Lockstep message: "no JSON\\u001b\[2J"$/m)
  await heads.printed(/lockstep\/head\/people {2}head \w+:3, held from 1$/m)
  assert.equal(await tail.stop(), 0)
  assert.doesNotMatch(tail.stdout, /head/)
})

test('with --json each line is a message, and --count ends it', async t => {
  const system = await openSystem(t)
  const args = ['tail', 'people/+', '--broker', system.broker.url, '--json', '--count', '2']
  const tail = startProgram(t, args)
  await tail.printed(/Listening/)
  for (const name of ['Ann', 'Anna', 'Anne']) await system.put('ann', name)
  assert.equal(await tail.ended, 0)
  const messages = tail.stdout
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Message)
  assert.deepEqual(
    messages.map(({ event, resource }) => [event, resource]),
    [
      ['created', '/people/ann'],
      ['modified', '/people/ann'],
    ],
  )
})

test('with --after it begins in the feed and goes on without a gap or a repetition while others write', async t => {
  const system = await openSystem(t, { root: '/api/v1', topicPrefix: 'acme/' })
  for (let n = 1; n <= 20; n++) await system.put(`p${n}`, 'first')
  const [head] = await system.service.heads()
  const after = `people:${head!.epoch}:5`
  let isWriting = true
  const writing = (async () => {
    for (let n = 1; isWriting; n++) await system.put(`p${n % 30}`, `name ${n}`)
  })()
  const args = ['tail', 'acme/people/#', '--broker', system.broker.url, '--api', system.api, '--after', after]
  const tail = startProgram(t, [...args, '--json', '--count', '2000'])
  assert.equal(await tail.ended, 0, tail.stderr)
  isWriting = false
  await writing
  const numbers = tail.stdout
    .trimEnd()
    .split('\n')
    .map(line => parsePosition((JSON.parse(line) as Message).id).seq)
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => index + 6),
  )
  assert.equal(numbers.length, 2_000)
})

test('what the broker loses is read from the feed; a filter still chooses', async t => {
  const system = await openSystem(t)
  await system.put('zoe', 'Zoe')
  // A broker that loses every message; a head proves that something is missing.
  const lossy = await openEmbeddedBroker({ port: 0 })
  t.after(() => lossy.close())
  const args = ['tail', 'people/ann', '--broker', lossy.url, '--api', system.api, '--after', 'now', '--json']
  const tail = startProgram(t, args)
  await tail.printed(/Listening/)
  const publishHead = async (): Promise<void> => {
    const [head] = await system.service.heads()
    await lossy.publish('lockstep/head/people', formatHead(head!))
  }
  await system.put('ann', 'Ann')
  await publishHead()
  await tail.printed(/"name":"Ann"/)
  await system.put('zoe', 'Zoé')
  await system.put('ann', 'Anna')
  await publishHead()
  await tail.printed(/"name":"Anna"/)
  assert.equal(tail.stdout.trimEnd().split('\n').length, 2)
})

test('a position that is no longer held is said to be a gap, never passed over', async t => {
  const system = await openSystem(t)
  await system.put('ann', 'Ann')
  const args = [
    'tail',
    'people/#',
    '--broker',
    system.broker.url,
    '--api',
    system.api,
    '--after',
    'people:gone:7',
  ]
  const tail = startProgram(t, args)
  await tail.printed(/The changes between people:gone:7 and people:\w+:1 are no longer held: a gap/)
  await system.put('ann', 'Anna')
  await tail.printed(/people\/ann {2}modified v2/)
})

test('a marker that names none of the streams is refused, and a filter that takes none', async t => {
  const system = await openSystem(t)
  const asked = ['--broker', system.broker.url, '--api', system.api]
  const other = await runProgram(t, ['tail', 'people/#', ...asked, '--after', 'comments:abc:1'])
  assert.equal(other.code, 1)
  assert.match(other.stderr, /comments:abc:1 names no stream that people\/# takes; that takes people\./)
  const none = await runProgram(t, ['tail', 'comments/#', ...asked])
  assert.equal(none.code, 1)
  assert.match(none.stderr, /No collection of \S+ has topics that comments\/# takes/)
})

test('an API that is not there ends it with exit code 1', async t => {
  const system = await openSystem(t)
  const args = [
    'tail',
    'people/#',
    '--broker',
    system.broker.url,
    '--api',
    'http://127.0.0.1:1',
    '--after',
    'now',
  ]
  const { code, stderr } = await runProgram(t, args)
  assert.equal(code, 1)
  assert.match(stderr, /^lockstep: GET http:\/\/127\.0\.0\.1:1\/ failed: /)
})
