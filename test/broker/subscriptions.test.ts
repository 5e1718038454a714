import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { Delivery } from '../../src/broker/broker.ts'
import { createSubscriptionTable } from '../../src/broker/subscriptions.ts'
import { matchesTopicFilter } from '../../src/contract/index.ts'

const silent = (): void => {}
const delivery = (topic: string): Delivery => ({ topic, payload: 'x', retained: false })

describe('subscription table', () => {
  it('calls exactly those with a matching filter, once each, through any adding and removing', () => {
    const level = fc.constantFrom('a', 'b', '+')
    const filter = fc
      .tuple(fc.array(level, { minLength: 1, maxLength: 3 }), fc.boolean())
      .map(([levels, hash]) => [...levels, ...(hash ? ['#'] : [])].join('/'))
    const topic = fc
      .array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 4 })
      .map(levels => levels.join('/'))
    fc.assert(
      fc.property(
        fc.array(fc.array(filter, { maxLength: 3 }), { maxLength: 12 }),
        fc.array(fc.nat(), { maxLength: 8 }),
        topic,
        (filterSets, removals, published) => {
          const table = createSubscriptionTable(silent)
          const calls: number[] = []
          const listenings = filterSets.map((filters, index) =>
            table.add(filters, () => void calls.push(index)),
          )
          const removed = new Set(removals.map(removal => removal % Math.max(1, listenings.length)))
          const freed = [...removed].flatMap(index => {
            const listening = listenings[index]
            return listening === undefined ? [] : table.remove(listening)
          })
          const kept = filterSets.filter((_, index) => !removed.has(index)).flat()
          table.dispatch(delivery(published))
          const expected = filterSets.flatMap((filters, index) =>
            !removed.has(index) && filters.some(each => matchesTopicFilter(each, published)) ? [index] : [],
          )
          assert.deepEqual(
            calls.sort((one, other) => one - other),
            expected,
          )
          assert.equal(table.filterCount, new Set(kept).size)
          assert.ok(freed.every(each => !kept.includes(each)))
          assert.equal(new Set(freed).size, freed.length)
        },
      ),
    )
  })

  it('frees a filter when the last of its listeners goes, and once', () => {
    const table = createSubscriptionTable(silent)
    const one = table.add(['a', 'b/+', 'a'], silent)
    const other = table.add(['a'], silent)
    assert.deepEqual(table.remove(one), ['b/+'])
    assert.deepEqual(table.remove(one), [])
    assert.deepEqual(table.remove(other), ['a'])
    assert.equal(table.filterCount, 0)
  })

  it('reports what a listener throws and calls the next', () => {
    const reports: unknown[] = []
    const table = createSubscriptionTable((error, { stage }) => reports.push([error, stage]))
    const thrown = new Error('on purpose')
    let called = false
    table.add(['a'], () => {
      throw thrown
    })
    table.add(['a'], () => {
      called = true
    })
    table.dispatch(delivery('a'))
    assert.deepEqual(reports, [[thrown, 'broker listener']])
    assert.ok(called)
  })

  it('does not call a listener that an earlier one has ended in the same delivery', () => {
    const table = createSubscriptionTable(silent)
    let isCalled = false
    table.add(['a'], () => void table.remove(second))
    const second = table.add(['a'], () => {
      isCalled = true
    })
    table.dispatch(delivery('a'))
    assert.equal(isCalled, false)
  })
})
