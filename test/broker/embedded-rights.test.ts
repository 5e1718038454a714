import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { mayPublish, mayRead } from '../../src/broker/embedded-rights.ts'
import { connectMqtt, openEmbeddedBroker } from '../../src/broker/index.ts'
import { matchesTopicFilter } from '../../src/contract/index.ts'
import { Inbox, rejects } from '../support/inbox.ts'

describe('rights on topics', () => {
  const level = fc.constantFrom('a', 'b', '+')
  const filter = fc
    .tuple(fc.array(level, { minLength: 1, maxLength: 3 }), fc.boolean())
    .map(([levels, hash]) => [...levels, ...(hash ? ['#'] : [])].join('/'))
  const topic = fc
    .array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 5 })
    .map(levels => levels.join('/'))

  it('let nobody hear a topic by a filter that they may not hear by its name', () => {
    fc.assert(
      fc.property(fc.array(filter, { maxLength: 3 }), filter, topic, (read, asked, published) => {
        const rights = { publish: [], read }
        fc.pre(mayRead(rights, asked) && matchesTopicFilter(asked, published))
        assert.ok(mayRead(rights, published), `${asked} lets ${published} through ${read}`)
      }),
      { numRuns: 500 },
    )
  })

  const cases: readonly (readonly [granted: string, asked: string, may: boolean])[] = [
    ['people/#', 'people', true],
    ['people/#', 'people/+', true],
    ['people/#', 'people/1/friends/#', true],
    ['people/#', 'people2', false],
    ['people/#', '#', false],
    ['people/#', '+/1', false],
    ['people/+', 'people/1', true],
    ['people/+', 'people/#', false],
    ['people/+', 'people/1/friends', false],
    ['people', 'people/1', false],
    ['+/1', 'people/+', false],
    ['#', '#', true],
  ]
  for (const [granted, asked, may] of cases) {
    it(`${granted} ${may ? 'covers' : 'does not cover'} ${asked}`, () => {
      assert.equal(mayRead({ publish: [], read: [granted] }, asked), may)
    })
  }

  it('let publish what a filter matches, and nothing where there is none', () => {
    const rights = { publish: ['people/#'], read: [] }
    assert.deepEqual(
      ['people', 'people/1/friends', 'projects'].map(name => mayPublish(rights, name)),
      [true, true, false],
    )
  })
})

describe('embedded broker with rights', () => {
  it('refuses what no right covers, and gives those without a name or a right nothing', async () => {
    await using broker = await openEmbeddedBroker({
      port: 0,
      publishers: { service: 'pw', other: 'pw' },
      rights: { service: { publish: ['people/#'], read: [] }, constructor: { publish: [], read: ['#'] } },
      onError: () => {},
    })
    const inbox = new Inbox()
    await broker.subscribe(['#'], inbox.listener)
    const url = (user: string): string => `mqtt://${user}pw@127.0.0.1:${broker.port}`
    const quiet = { onError: () => {} }
    await using service = await connectMqtt(url('service:'), quiet)
    await rejects(service.subscribe(['people'], inbox.listener), 'broker-refused')
    await service.publish('people/1', 'allowed')
    await rejects(service.publish('projects', 'forbidden'), 'broker-unreachable')
    await using other = await connectMqtt(url('other:'), quiet)
    await rejects(other.subscribe(['people'], inbox.listener), 'broker-refused')
    await rejects(other.publish('people', 'forbidden'), 'broker-unreachable')
    await using stranger = await connectMqtt(broker.url, quiet)
    await rejects(stranger.subscribe(['people'], inbox.listener), 'broker-refused')
    await broker.publish('end', '')
    await inbox.reach(2)
    assert.deepEqual(inbox.topics, ['people/1', 'end'])
  })

  it('refuses rights that are no topic filters', async () => {
    const rights = { service: { publish: ['people#'], read: [] } }
    await rejects(openEmbeddedBroker({ port: 0, rights }), 'invalid-option')
  })
})
