import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { createPublishWindow, type PublishLink } from '../../src/broker/publish-window.ts'
import { LockstepError } from '../../src/contract/index.ts'
import { rejects } from '../support/inbox.ts'

/** A link that remembers what was sent and answers when the test says so. */
class Link implements PublishLink {
  readonly sent: { payload: string; done: (error: LockstepError | undefined) => void }[] = []
  readonly maxInFlight: number

  constructor(maxInFlight: number) {
    this.maxInFlight = maxInFlight
  }

  send(
    _topic: string,
    payload: string,
    _retain: boolean,
    done: (error: LockstepError | undefined) => void,
  ): void {
    this.sent.push({ payload, done })
  }

  get payloads(): string[] {
    return this.sent.map(each => each.payload)
  }
}

function open(maxInFlight: number, maxWaiting = 100) {
  const link = new Link(maxInFlight)
  const stuck: true[] = []
  const window = createPublishWindow({ maxWaiting, onStuck: () => stuck.push(true) })
  window.open(link)
  const publish = (payload: string, timeoutMs = 60_000): Promise<void> =>
    window.publish('t', payload, false, timeoutMs)
  return { link, window, publish, stuck }
}

const lost = new LockstepError('broker-unreachable', 'lost')

describe('publish window', () => {
  it('sends in the order of the calls and holds the limit, whatever the order of answers', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.boolean(), { maxLength: 60 }),
        fc.array(fc.nat(), { minLength: 60, maxLength: 60 }),
        async (maxInFlight, steps, choices) => {
          const { link, window, publish } = open(maxInFlight)
          const calls: Promise<void>[] = []
          const unanswered = new Set<number>()
          let known = 0
          const look = (): void => {
            for (; known < link.sent.length; known++) unanswered.add(known)
            assert.ok(unanswered.size <= maxInFlight)
            assert.equal(window.inFlight, unanswered.size)
          }
          const answer = (choice: number): void => {
            const index = [...unanswered][choice % unanswered.size]!
            unanswered.delete(index)
            link.sent[index]!.done(undefined)
          }
          steps.forEach((isPublish, step) => {
            if (isPublish) calls.push(publish(`${calls.length}`))
            else if (unanswered.size > 0) answer(choices[step]!)
            look()
          })
          while (unanswered.size > 0) {
            answer(0)
            look()
          }
          await Promise.all(calls)
          assert.deepEqual(
            link.payloads,
            calls.map((_, index) => `${index}`),
          )
          window.shut(lost)
        },
      ),
    )
  })

  it('passes on what the broker answered, to that publication only', async () => {
    const { link, window, publish } = open(2)
    const [first, second] = [publish('1'), publish('2')]
    link.sent[0]!.done(new LockstepError('broker-refused', 'no'))
    link.sent[1]!.done(undefined)
    await rejects(first, 'broker-refused')
    await second
    window.shut(lost)
  })

  it('refuses one more than may wait, and takes it when one is answered', async () => {
    const { link, window, publish } = open(1, 2)
    const first = publish('1')
    const second = rejects(publish('2'), 'broker-unreachable')
    await rejects(publish('3'), 'overloaded')
    link.sent[0]!.done(undefined)
    await first
    const third = rejects(publish('3'), 'broker-unreachable')
    window.shut(lost)
    await Promise.all([second, third])
  })

  it('rejects all at a loss, sends nothing of it over the next link, and ignores late answers of the old one', async () => {
    const { link, window, publish } = open(1)
    const calls = ['1', '2', '3'].map(payload => rejects(publish(payload), 'broker-unreachable'))
    window.shut(lost)
    await Promise.all(calls)
    const next = new Link(1)
    window.open(next)
    const fresh = publish('4')
    const queued = publish('5')
    link.sent[0]!.done(undefined)
    assert.deepEqual([link.payloads, next.payloads], [['1'], ['4']])
    next.sent[0]!.done(undefined)
    next.sent[1]!.done(undefined)
    await Promise.all([fresh, queued])
    window.shut(lost)
  })

  it('rejects each publication at its own time, and sends none that is given up', async () => {
    const { link, window, publish, stuck } = open(1)
    const slow = rejects(publish('slow', 60_000), 'broker-unreachable')
    await rejects(publish('fast', 5), 'timeout')
    assert.deepEqual(link.payloads, ['slow'])
    assert.deepEqual(stuck, [], 'it was never sent, so nothing is known of the broker')
    link.sent[0]!.done(new LockstepError('broker-unreachable', 'x'))
    await slow
    assert.deepEqual(link.payloads, ['slow'])
    window.shut(lost)
  })

  it('refuses a timeout that is none, and takes one of any length', async () => {
    const { window, publish } = open(1)
    for (const timeoutMs of [0, -1, Number.NaN]) await rejects(publish('x', timeoutMs), 'invalid-option')
    const calls = [1e12, Number.POSITIVE_INFINITY].map(timeoutMs =>
      rejects(publish('x', timeoutMs), 'broker-unreachable'),
    )
    await new Promise(resolve => setImmediate(resolve))
    window.shut(lost)
    await Promise.all(calls)
  })

  it('calls a broker stuck that acknowledges nothing, and not one that is behind', async () => {
    const silent = open(10)
    await rejects(silent.publish('1', 5), 'timeout')
    assert.equal(silent.stuck.length, 1)
    silent.window.shut(lost)

    const behind = open(10)
    const late = rejects(behind.publish('1', 30), 'timeout')
    const inTime = behind.publish('2', 30)
    behind.link.sent[1]!.done(undefined)
    await Promise.all([late, inTime])
    assert.equal(behind.stuck.length, 0)
    behind.link.sent[0]!.done(undefined)
    assert.equal(behind.window.inFlight, 0)
    behind.window.shut(lost)
  })
})
