/** What a follower tells on its channel. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { followerChannel } from '../../src/contract/channel.ts'
import { hearChannel } from '../support/channel.ts'
import { openObservedSystem } from '../support/observed.ts'
import { eventually } from '../support/service.ts'

test('a follower tells its statuses, questions and changes, each follower under a number of its own', async () => {
  using heard = hearChannel(followerChannel)
  await using system = await openObservedSystem()
  const [all, one] = [system.lockstep.follow('/projects'), system.lockstep.follow('/projects/a')]
  await Promise.all([all.ready, one.ready])
  await eventually(() => all.status === 'live' && one.status === 'live')
  const headers = { 'x-request-id': 'r1' }
  await system.api.ask('PUT', '/projects/a', { headers, body: { title: 'A' } })
  await eventually(() => all.state.has('a') && one.state !== undefined)
  await system.lockstep.close()

  const of = (path: string) => heard.messages.filter(message => message.path === path)
  for (const path of ['/projects', '/projects/a']) {
    const messages = of(path)
    assert.equal(new Set(messages.map(({ follower }) => follower)).size, 1)
    assert.ok(messages.every(({ stream }) => stream === 'projects'))
    const statuses = messages.filter(message => message.event === 'status')
    assert.deepEqual([statuses[0]?.status, statuses[0]?.staleForMs], ['connecting', Number.POSITIVE_INFINITY])
    assert.equal(statuses.at(-1)?.status, 'closed')
    assert.equal(statuses.find(({ status }) => status === 'live')?.staleForMs, 0)
    assert.equal(messages.find(message => message.event === 'asked')?.question, 'baseline')
  }
  assert.notEqual(of('/projects')[0]?.follower, of('/projects/a')[0]?.follower)
  const created = of('/projects').find(message => message.event === 'changed' && message.change === 'created')
  assert.deepEqual(created, {
    follower: of('/projects')[0]?.follower,
    stream: 'projects',
    path: '/projects',
    event: 'changed',
    change: 'created',
    cause: 'r1',
  })
})
