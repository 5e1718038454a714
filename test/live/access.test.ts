import assert from 'node:assert/strict'
import test from 'node:test'
import { isLockstepError } from '../../src/contract/index.ts'
import { createAccess } from '../../src/live/access.ts'
import { type AccessQuestion, createTickets, openBridge } from '../../src/live/index.ts'
import { createFastClock } from '../client/manual-clock.ts'
import { eventually } from '../support/service.ts'
import { namesOf, openScene } from './live-setup.ts'
import { connectEvents, connectSocket, hello, messagesOf } from './page-client.ts'

const keys = [{ id: 'one', secret: 'a'.repeat(32) }]
const now = { from: 'now' }
/** Thirty seconds in one. */
const fast = 30

test('a page follows what its ticket grants, without saying it again, and nothing else', async () => {
  await using scene = await openScene()
  const tickets = createTickets({ keys })
  const { url } = await scene.open({ access: { tickets } })
  const ticket = tickets.issue({ audience: 'ann', follow: [{ path: '/people', fields: ['name'] }] })
  await using page = await connectSocket(url, { type: 'hello', protocol: 1, ticket, ...now })
  const welcome = await page.type('welcome')
  assert.ok(Number(welcome['leaseMs']) > 50_000 && Number(welcome['leaseMs']) <= 60_000)
  await page.type('live')
  await scene.write('ann')
  assert.deepEqual((await page.messages(1))[0]!['state'], { id: 'ann', name: 'ann' })
  const refused: readonly (readonly [object, number, string])[] = [
    [hello(['/people'], '', { ticket }), 4003, 'access-denied'],
    [hello([{ path: '/people', fields: ['age'] }], '', { ticket }), 4003, 'access-denied'],
    [hello(['/projects'], '', { ticket }), 4003, 'access-denied'],
    [hello(['/people/ann/friends'], '', { ticket }), 4003, 'access-denied'],
    [hello(['/people']), 4001, 'invalid-ticket'],
    [hello(['/people'], '', { ticket: `${ticket.slice(0, -3)}AAA` }), 4001, 'invalid-ticket'],
  ]
  for (const [frame, status, code] of refused) {
    await using other = await connectSocket(url, frame)
    assert.deepEqual(await other.ended, { status, code }, JSON.stringify(frame))
    assert.deepEqual(
      other.frames.map(({ type }) => type),
      ['close'],
    )
    await using events = await connectEvents(url, frame)
    await events.ended
    assert.equal(events.frames[0]!['code'], code)
  }
})

test('a ticket is for its audience, where the bridge can tell who connects', async () => {
  await using scene = await openScene()
  const tickets = createTickets({ keys })
  const { url } = await scene.open({
    access: { tickets },
    audience: async request => request.headers.cookie?.replace('user=', ''),
  })
  const ticket = tickets.issue({ audience: 'ann', follow: [{ path: '/people' }] })
  await using eve = await connectSocket(url, hello(['/people'], '', { ticket }), {
    headers: { cookie: 'user=eve' },
  })
  assert.deepEqual(await eve.ended, { status: 4001, code: 'invalid-ticket' })
  await using ann = await connectSocket(url, hello(['/people'], '', { ticket, ...now }), {
    headers: { cookie: 'user=ann' },
  })
  await ann.type('live')
})

test('delivery ends with the ticket, unless the page brings a new one in time', async () => {
  await using scene = await openScene()
  const clock = createFastClock(fast)
  const tickets = createTickets({ keys, lifetimeMs: 20_000, now: () => clock.now() })
  const { url } = await scene.open({ access: { tickets }, clock })
  const ticket = tickets.issue({ audience: 'ann', follow: [{ path: '/people' }] })
  await using idle = await connectSocket(url, hello(['/people'], '', { ticket, ...now }))
  await using eager = await connectSocket(url, hello(['/people'], '', { ticket, ...now }))
  await eager.type('live')
  eager.send({
    type: 'renew',
    ticket: tickets.issue({ audience: 'ann', follow: [{ path: '/people' }, { path: '/projects' }] }),
  })
  const answer = await eager.type('ticket')
  assert.deepEqual([answer['ticket'], Number(answer['leaseMs']) > 15_000], [undefined, true])
  assert.deepEqual(await idle.ended, { status: 4001, code: 'ticket-expired' })
  await using late = await connectSocket(url, hello(['/people'], '', { ticket }))
  assert.deepEqual(await late.ended, { status: 4001, code: 'ticket-expired' })
  await using narrowed = await connectSocket(
    url,
    hello(['/people'], '', {
      ticket: tickets.issue({ audience: 'ann', follow: [{ path: '/people' }] }),
      ...now,
    }),
  )
  await narrowed.type('live')
  narrowed.send({
    type: 'renew',
    ticket: tickets.issue({ audience: 'ann', follow: [{ path: '/people/ann' }] }),
  })
  assert.deepEqual(await narrowed.ended, { status: 4003, code: 'access-denied' })
})

test('what is withdrawn is delivered no longer than a lease, live or as a replay, and pages are asked about together', async () => {
  await using scene = await openScene()
  const clock = createFastClock(fast)
  const granted = new Set(['ann', 'bob'])
  const questions: AccessQuestion[] = []
  const allHere = Promise.withResolvers<void>()
  const authorize = async (question: AccessQuestion): Promise<boolean> => {
    questions.push(question)
    if (questions.length === 1) await allHere.promise
    return granted.has(question.audience)
  }
  const tickets = createTickets({ keys, now: () => clock.now() })
  const { url } = await scene.open({ access: { tickets, authorize, leaseMs: 30_000 }, clock })
  const helloOf = (audience: string) =>
    hello(['/people'], '', { ticket: tickets.issue({ audience, follow: [{ path: '/people' }] }), ...now })
  const anns = await Promise.all(Array.from({ length: 20 }, () => connectSocket(url, helloOf('ann'))))
  await using bob = await connectSocket(url, helloOf('bob'))
  await bob.type('live')
  allHere.resolve()
  for (const page of anns) await page.type('live')
  assert.equal(questions.length, 2)
  assert.deepEqual(questions[0], { audience: 'ann', follow: [{ path: '/people' }] })
  // The bridge asks again by itself, and gives the page a ticket that is good for its next connection.
  const renewed = await bob.type('ticket')
  await using again = await connectSocket(url, hello(['/people'], '', { ticket: renewed['ticket']!, ...now }))
  await again.type('live')
  granted.delete('ann')
  const withdrawnMs = clock.now()
  for (const page of anns) assert.deepEqual(await page.ended, { status: 4003, code: 'access-denied' })
  assert.ok(clock.now() - withdrawnMs <= 30_000 + fast * 1_000, 'within a lease, and the time of a tick')
  await scene.write('cid')
  await bob.messages(1)
  for (const page of anns) assert.deepEqual(messagesOf(page.frames), [])
  await using replay = await connectSocket(url, { ...helloOf('ann'), marker: 'people:x:0' })
  assert.deepEqual(await replay.ended, { status: 4003, code: 'access-denied' })
  assert.deepEqual(
    replay.frames.map(({ type }) => type),
    ['close'],
  )
})

test('where it cannot be found out whether a page still may, its lease ends, and it comes back', async () => {
  await using scene = await openScene()
  const clock = createFastClock(fast)
  let isBroken = false
  const authorize = (): boolean => {
    if (isBroken) throw new Error('the directory is down')
    return true
  }
  const { url, reports } = await scene.open({ access: { authorize, leaseMs: 15_000 }, clock })
  await using page = await connectSocket(url, hello(['/people'], '', now))
  await page.type('live')
  isBroken = true
  assert.deepEqual(await page.ended, { status: 1013, code: 'overloaded' })
  assert.equal(typeof page.frames.at(-1)!['retryAfterMs'], 'number')
  await using other = await connectSocket(url, hello(['/people'], '', now))
  assert.deepEqual(await other.ended, { status: 1013, code: 'internal' })
  assert.doesNotMatch(JSON.stringify(other.frames), /directory/)
  assert.match((await reports.stage('live page')).text, /directory is down/)
})

test('a page is looked at again before its ticket expires, however long its lease still is', async () => {
  let nowMs = 1_000
  const now = () => nowMs
  const tickets = createTickets({ keys, lifetimeMs: 12_000, now })
  const access = createAccess({ tickets, authorize: () => true, leaseMs: 12_000 }, now, () => 1)
  const follow = [{ path: '/people' }]
  const ticket = tickets.issue({ audience: 'ann', follow })
  nowMs += 8_000
  const lease = await access.admit({ follow, ticket }, undefined)
  assert.equal(lease.untilMs, nowMs + 12_000)
  assert.ok(lease.recheckAtMs < nowMs + 4_000, `${lease.recheckAtMs - nowMs} ms`)
  nowMs = lease.recheckAtMs
  const renewed = await access.renew(lease, undefined)
  assert.equal(tickets.verify(renewed.ticket!).expiresAtMs, nowMs + 12_000)
  assert.ok(renewed.lease.recheckAtMs > nowMs + 4_000)
})

test('a logout is heard at once where the application says so', async () => {
  await using scene = await openScene()
  const granted = new Set(['ann', 'bob'])
  const { url, bridge } = await scene.open({
    access: { authorize: ({ audience }) => granted.has(audience) },
    audience: request => String(request.headers['x-user']),
  })
  await using ann = await connectSocket(url, hello(['/people'], '', now), { headers: { 'x-user': 'ann' } })
  await using bob = await connectSocket(url, hello(['/people'], '', now), { headers: { 'x-user': 'bob' } })
  await ann.type('live')
  await bob.type('live')
  granted.clear()
  bridge.recheck('ann')
  assert.deepEqual(await ann.ended, { status: 4003, code: 'access-denied' })
  await scene.write('cid')
  assert.deepEqual(namesOf(await bob.messages(1)), ['cid'])
  bridge.recheck()
  assert.deepEqual(await bob.ended, { status: 4003, code: 'access-denied' })
})

test('a logout counts also where an answer of before is on its way, to a page that arrives or is looked at again', async () => {
  await using scene = await openScene()
  const clock = createFastClock(fast)
  const granted = new Set(['ann'])
  /** What was found out before the logout, and is told after it. */
  const late: (() => void)[] = []
  let isSlow = false
  const authorize = async ({ audience }: AccessQuestion): Promise<boolean> => {
    const isGranted = granted.has(audience)
    if (isSlow) await new Promise<void>(resolve => late.push(resolve))
    return isGranted
  }
  const { url, bridge } = await scene.open({
    access: { authorize, leaseMs: 30_000 },
    audience: request => String(request.headers['x-user']),
    clock,
  })
  const headers = { 'x-user': 'ann' }
  await using page = await connectSocket(url, hello(['/people'], '', now), { headers })
  await page.type('live')
  isSlow = true
  await eventually(() => late.length === 1)
  await using arriving = await connectSocket(url, hello(['/projects'], '', now), { headers })
  await eventually(() => late.length === 2)
  isSlow = false
  granted.clear()
  bridge.recheck('ann')
  for (const tell of late) tell()
  assert.deepEqual(await page.ended, { status: 4003, code: 'access-denied' })
  assert.deepEqual(await arriving.ended, { status: 4003, code: 'access-denied' })
  assert.deepEqual(
    arriving.frames.map(({ type }) => type),
    ['close'],
  )
})

test('a bridge has to be told who may follow what', async () => {
  const sources = [{ api: 'http://127.0.0.1:1', streams: ['people'] }]
  for (const access of [undefined, {}, { tickets: 'x' }, { authorize: true }, 'everyone']) {
    await assert.rejects(
      openBridge({ sources, access: access as never }),
      error => isLockstepError(error, 'invalid-option'),
      JSON.stringify(access),
    )
  }
})
