/**
 * What every change log promises, as tests: run by the test file of each kind.
 *
 * `open` gives an empty log each time. A log that numbers after the commit gives `settle`, which resolves when
 * everything written before has its number.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  applyMergePatch,
  type ErrorCode,
  isLockstepError,
  type Json,
  type JsonObject,
  parseMessage,
} from '../../src/contract/index.ts'
import type {
  ChangeLog,
  LoggedChange,
  LogTransaction,
  NewChange,
  StoredResource,
} from '../../src/log/change-log.ts'

export interface OpenLogOptions {
  readonly maxWaitingWrites?: number
  readonly maxTransactionChanges?: number
  readonly transactionTimeoutMs?: number
  readonly now?: () => number
  readonly onError?: (error: unknown, context: { readonly stage: string }) => void
}

export interface ChangeLogSuiteOptions {
  readonly settle?: (log: ChangeLog) => Promise<void>
}

/** 2026-01-01. */
const newYearMs = 1_767_225_600_000
const hourMs = 3_600_000
const all = { after: 0, limit: 100_000 }

export function testChangeLog(
  name: string,
  open: (options?: OpenLogOptions) => Promise<ChangeLog>,
  { settle = async () => {} }: ChangeLogSuiteOptions = {},
): void {
  const openWith = async (streams: readonly string[], options?: OpenLogOptions): Promise<ChangeLog> => {
    const log = await open(options)
    await log.ensureStreams(streams)
    return log
  }
  const readAll = async (log: ChangeLog, stream: string): Promise<readonly LoggedChange[]> => {
    await settle(log)
    return (await log.readChanges(stream, all)).changes
  }

  describe(`${name}: numbers and versions`, () => {
    test('a new stream has an epoch and stands at 0, and making it known again changes nothing', async () => {
      await using log = await open()
      const heads = await log.ensureStreams(['people', 'orders'])
      assert.deepEqual(
        heads.map(({ stream, seq, first }) => ({ stream, seq, first })),
        [
          { stream: 'people', seq: 0, first: 1 },
          { stream: 'orders', seq: 0, first: 1 },
        ],
      )
      for (const { epoch } of heads) assert.match(epoch, /^[a-z0-9]{6,32}$/)
      await log.write(tx => save(tx, '/people/1', { n: 1 }))
      await settle(log)
      assert.deepEqual(await log.ensureStreams(['people']), [{ ...heads[0], seq: 1 }])
      assert.deepEqual(await log.head('people'), { ...heads[0], seq: 1 })
    })

    test('a stream that was never made known is not found, and its name must fit into a path', async () => {
      await using log = await openWith(['people'])
      await rejects(log.head('ghosts'), 'not-found')
      await rejects(log.readResource('/ghosts/1'), 'not-found')
      await rejects(log.readCollection('/ghosts', { limit: 1 }), 'not-found')
      await rejects(log.readChanges('ghosts', all), 'not-found')
      await rejects(log.readLatest('ghosts', all), 'not-found')
      await rejects(log.relayed('ghosts'), 'not-found')
      await rejects(log.renewEpoch('ghosts'), 'not-found')
      await rejects(
        log.write(tx => tx.read('/ghosts/1')),
        'not-found',
      )
      await rejects(log.ensureStreams(['no/stream']), 'invalid-option')
    })

    test('writes that arrive together are numbered without a hole, each stream by itself', async () => {
      const streams = ['people', 'orders', 'items']
      await using log = await openWith(streams)
      const random = seeded(1)
      const writes = Array.from({ length: 300 }, () => {
        const path = `/${streams[random(3)]}/${random(7)}`
        return log.write(tx => save(tx, path, { n: random(1_000_000) }))
      })
      await Promise.all(writes)
      let total = 0
      for (const stream of streams) {
        const changes = await readAll(log, stream)
        checkSequence(changes)
        const { epoch, seq } = await log.head(stream)
        assert.equal(changes.length, seq)
        for (const { seq, messageText } of changes) {
          assert.equal(parseMessage(messageText)?.id, `${stream}:${epoch}:${seq}`)
        }
        total += seq
      }
      assert.equal(total, 300)
    })

    test('a message says what the change says, and nothing about a transaction with a single change', async () => {
      await using log = await openWith(['people'])
      const created = { topicPath: '/people', timeMs: newYearMs, cause: 'request "1"' }
      await log.write(tx => save(tx, '/people/a%40b', { name: 'Ann' }, created))
      const changesText = '{"name":"Eve"}'
      await log.write(tx => save(tx, '/people/a%40b', { name: 'Eve' }, { changesText, timeMs: newYearMs }))
      await log.write(tx => save(tx, '/people/a%40b', { name: 'Eva' }, { timeMs: newYearMs }))
      await log.write(tx => save(tx, '/people/a%40b', undefined, { timeMs: newYearMs }))
      const changes = await readAll(log, 'people')
      const { epoch } = await log.head('people')
      const envelope = { resource: '/people/a%40b', time: '2026-01-01T00:00:00.000Z' }
      assert.deepEqual(
        changes.map(({ messageText }) => JSON.parse(messageText) as Json),
        [
          { event: 'created', state: { name: 'Ann' }, cause: 'request "1"', version: 1 },
          { event: 'modified', changes: { name: 'Eve' }, version: 2 },
          { event: 'modified', state: { name: 'Eva' }, version: 3 },
          { event: 'deleted', version: 4 },
        ].map((message, index) => ({ ...message, ...envelope, id: `people:${epoch}:${index + 1}` })),
      )
      assert.deepEqual(
        changes.map(({ event, path, topicPath, version }) => [event, path, topicPath, version]),
        [
          ['created', '/people/a%40b', '/people', 1],
          ['modified', '/people/a%40b', '/people/a%40b', 2],
          ['modified', '/people/a%40b', '/people/a%40b', 3],
          ['deleted', '/people/a%40b', '/people/a%40b', 4],
        ],
      )
    })

    test('several changes of one work stand next to each other and name their transaction', async () => {
      await using log = await openWith(['people', 'orders'])
      const pair = (id: string) => async (tx: LogTransaction) => {
        await save(tx, `/people/${id}`, { n: 1 })
        await save(tx, `/people/${id}`, { n: 2 })
      }
      const triple = (id: string) => async (tx: LogTransaction) => {
        await pair(id)(tx)
        await save(tx, `/orders/${id}`, { n: 1 })
      }
      const ids = ['a', 'b', 'c']
      await Promise.all([...ids.map(id => log.write(triple(id))), log.write(pair('d'))])
      const people = await readAll(log, 'people')
      const orders = await readAll(log, 'orders')
      checkSequence(people)
      assert.deepEqual(
        people.map(({ path, version }) => [path, version]),
        [...ids, 'd'].flatMap(id => [
          [`/people/${id}`, 1],
          [`/people/${id}`, 2],
        ]),
      )
      const transactions = new Map<string, string[]>()
      for (const { path, messageText } of [...people, ...orders]) {
        const { tx } = parseMessage(messageText)!
        const key = `${tx?.id} of ${tx?.n}`
        transactions.set(key, [...(transactions.get(key) ?? []), path])
      }
      assert.deepEqual(
        [...transactions.values()],
        [...ids.map(id => [`/people/${id}`, `/people/${id}`, `/orders/${id}`]), ['/people/d', '/people/d']],
      )
      for (const [key, { length }] of transactions)
        assert.match(key, new RegExp(`^[a-z0-9]{6,} of ${length}$`))
    })

    test('versions go on after deletion and re-creation', async () => {
      await using log = await openWith(['people'])
      const path = '/people/1'
      const inside = async (): Promise<StoredResource> => (await log.write(tx => tx.read(path))).value
      assert.deepEqual(await stored(log, path), { version: 0, stateText: undefined, deleted: false })
      assert.deepEqual(await inside(), await stored(log, path))
      await log.write(tx => save(tx, path, { n: 1 }))
      await log.write(tx => save(tx, path, undefined))
      assert.deepEqual(await inside(), await stored(log, path))
      assert.deepEqual(await stored(log, path), { version: 2, stateText: undefined, deleted: true })
      await log.write(tx => save(tx, path, { n: 3 }))
      assert.deepEqual(await stored(log, path), { version: 3, stateText: '{"n":3}', deleted: false })
      assert.deepEqual(
        (await readAll(log, 'people')).map(({ event, version }) => [event, version]),
        [
          ['created', 1],
          ['deleted', 2],
          ['created', 3],
        ],
      )
    })

    test('a resource may be created, deleted and created again within one work', async () => {
      await using log = await openWith(['people'])
      await log.write(async tx => {
        for (const state of [{ n: 1 }, undefined, { n: 3 }]) await save(tx, '/people/1', state)
        await save(tx, '/people/2', { n: 1 })
        await save(tx, '/people/2', undefined)
      })
      assert.deepEqual(await stored(log, '/people/1'), { version: 3, stateText: '{"n":3}', deleted: false })
      assert.deepEqual(await stored(log, '/people/2'), { version: 2, stateText: undefined, deleted: true })
      await log.write(async tx => {
        for (const state of [undefined, { n: 5 }]) await save(tx, '/people/1', state)
      })
      assert.deepEqual(await stored(log, '/people/1'), { version: 5, stateText: '{"n":5}', deleted: false })
      checkSequence(await readAll(log, 'people'))
      const { items } = await log.readCollection('/people', { limit: 10 })
      assert.deepEqual(items, [{ path: '/people/1', version: 5, stateText: '{"n":5}' }])
    })

    test('a change that does not follow from what is there is a mistake that undoes its work', async () => {
      await using log = await openWith(['people'])
      await log.write(tx => save(tx, '/people/1', { n: 1 }))
      const change: NewChange = {
        event: 'modified',
        path: '/people/1',
        topicPath: '/people/1',
        version: 2,
        stateText: '{"n":2}',
        timeMs: 0,
      }
      const wrong: Partial<NewChange>[] = [
        { version: 1 },
        { version: 3 },
        { event: 'created' },
        { event: 'deleted' },
        { stateText: undefined },
        { path: '/people/2', version: 1 },
        { event: 'deleted', stateText: undefined, changesText: '{}' },
        { timeMs: Number.NaN },
      ]
      for (const fault of wrong) {
        const writing = log.write(async tx => {
          await save(tx, '/people/9', { n: 9 })
          await tx.write({ ...change, ...fault })
        })
        await assert.rejects(writing, error => error instanceof Error && !isLockstepError(error))
      }
      assert.equal((await log.head('people')).seq, 1)
      assert.equal((await stored(log, '/people/9')).version, 0)
      await log.write(tx => tx.write(change))
    })
  })

  describe(`${name}: units of work`, () => {
    test('a work that fails leaves nothing behind and harms none of those that came with it', async () => {
      await using log = await openWith(['people'])
      const mishap = new Error('mishap')
      const results = await Promise.allSettled(
        Array.from({ length: 40 }, (_, index) =>
          log.write(async tx => {
            await save(tx, '/people/shared', { n: index })
            await save(tx, `/people/${index}`, { n: index })
            if (index % 4 === 1) throw mishap
            return index
          }),
        ),
      )
      for (const [index, result] of results.entries()) {
        if (index % 4 === 1) assert.equal(result.status === 'rejected' && result.reason, mishap)
        else assert.equal(result.status === 'fulfilled' && result.value.value, index)
        assert.equal((await stored(log, `/people/${index}`)).version, index % 4 === 1 ? 0 : 1)
      }
      const changes = await readAll(log, 'people')
      checkSequence(changes)
      assert.equal(changes.length, 60)
      assert.deepEqual(await stored(log, '/people/shared'), {
        version: 30,
        stateText: '{"n":39}',
        deleted: false,
      })
    })

    test('a work sees its own writes and those of the works before it', async () => {
      await using log = await openWith(['people'])
      const seen = await Promise.all(
        Array.from({ length: 20 }, () =>
          log.write(async tx => {
            const before = await tx.read('/people/1')
            await save(tx, '/people/1', { n: before.version + 1 })
            const after = await tx.read('/people/1')
            return [before.version, after.version, after.stateText]
          }),
        ),
      )
      assert.deepEqual(
        seen.map(({ value }) => value),
        Array.from({ length: 20 }, (_, index) => [index, index + 1, `{"n":${index + 1}}`]),
      )
    })

    test('nothing is seen from outside before the work has ended well', async () => {
      await using log = await openWith(['people'])
      await log.write(tx => save(tx, '/people/1', { n: 1 }))
      await settle(log)
      const before = await log.readResource('/people/1')
      const gate = Promise.withResolvers<void>()
      const written = Promise.withResolvers<void>()
      const writing = log.write(async tx => {
        await save(tx, '/people/1', { n: 2 })
        await save(tx, '/people/2', { n: 1 })
        written.resolve()
        await gate.promise
      })
      await written.promise
      assert.deepEqual(await log.readResource('/people/1'), before)
      assert.equal((await stored(log, '/people/2')).version, 0)
      assert.equal((await log.readCollection('/people', { limit: 9 })).items.length, 1)
      assert.equal((await log.readChanges('people', all)).changes.length, 1)
      gate.resolve()
      await writing
      await settle(log)
      assert.equal((await log.head('people')).seq, 3)
    })

    test('the marker names each stream that the work read or wrote, up to the end of the work', async () => {
      await using log = await openWith(['people', 'orders', 'items'])
      await log.write(tx => save(tx, '/orders/1', { n: 1 }))
      await settle(log)
      const [first, second, reading] = await Promise.all([
        log.write(async tx => {
          await save(tx, '/people/1', { n: 1 })
          await save(tx, '/people/2', { n: 1 })
          await tx.read('/orders/1')
        }),
        log.write(tx => save(tx, '/people/3', { n: 1 })),
        log.write(async tx => (await tx.read('/people/3')).version),
      ])
      await settle(log)
      const [people, orders] = await Promise.all([log.head('people'), log.head('orders')])
      const place = (stream: string, epoch: string, seq: number) => ({ stream, epoch, seq })
      assert.deepEqual(first.marker, [place('orders', orders.epoch, 1), place('people', people.epoch, 2)])
      assert.deepEqual(second.marker, [place('people', people.epoch, 3)])
      assert.deepEqual(reading, { value: 1, marker: [place('people', people.epoch, 3)] })
    })

    test('the paths under a resource are those that exist, as the work sees them', async () => {
      await using log = await openWith(['people'])
      await log.write(async tx => {
        const paths = [
          '/people/1',
          '/people/1/friends/1',
          '/people/1/friends/2',
          '/people/1/friends/2/notes/1',
        ]
        for (const path of [...paths, '/people/10', '/people/10/friends/1', '/people/1-']) {
          await save(tx, path, { n: 1 })
        }
      })
      const { value } = await log.write(async tx => {
        const before = await tx.readPathsUnder('/people/1', 10)
        await save(tx, '/people/1', { n: 2 })
        await save(tx, '/people/1/friends/1', undefined)
        await save(tx, '/people/1/friends/2', undefined)
        await save(tx, '/people/1/cars/1', { n: 1 })
        await save(tx, '/people/1/cars/2', { n: 1 })
        await save(tx, '/people/1/cars/2', undefined)
        return [before, await tx.readPathsUnder('/people/1', 10), await tx.readPathsUnder('/people/1', 2)]
      })
      const left = ['/people/1/cars/1', '/people/1/friends/2/notes/1']
      assert.deepEqual(value, [
        ['/people/1/friends/1', '/people/1/friends/2', '/people/1/friends/2/notes/1'],
        left,
        left,
      ])
      // The works of one batch see each other's.
      const [, seen] = await Promise.all([
        log.write(tx => save(tx, '/people/1/cars/1', undefined)),
        log.write(tx => tx.readPathsUnder('/people/1', 10)),
      ])
      assert.deepEqual(seen.value, ['/people/1/friends/2/notes/1'])
    })

    test('a receipt is left with its work or not at all, is seen by the works behind it, and is forgotten by age', async () => {
      await using log = await openWith(['people'])
      const nowMs = Date.now()
      const [left, , seen] = await Promise.all([
        log.write(async tx => {
          await save(tx, '/people/1', { n: 1 })
          await tx.writeReceipt('key', 'first', nowMs)
        }),
        assert.rejects(
          log.write(async tx => {
            await tx.writeReceipt('undone', 'x', nowMs)
            throw new Error('no')
          }),
        ),
        log.write(async tx => [await tx.readReceipt('key'), await tx.readReceipt('undone')]),
      ])
      const receipt = { text: 'first', marker: left.marker }
      assert.deepEqual(seen.value, [receipt, undefined])
      await log.write(tx => tx.writeReceipt('old', 'x', nowMs - 100_000))
      const read = (key: string): Promise<unknown> =>
        log.write(tx => tx.readReceipt(key)).then(({ value }) => value)
      assert.deepEqual(await read('key'), receipt)
      assert.deepEqual(await read('old'), { text: 'x', marker: [] })
      await log.prune({ maxReceiptAgeMs: 50_000 })
      assert.deepEqual(await read('key'), receipt)
      assert.equal(await read('old'), undefined)
    })

    test('receipts are limited in number, the oldest go first, and in size', async () => {
      const nowMs = newYearMs
      await using log = await openWith(['people'], { now: () => nowMs })
      await log.write(async tx => {
        for (const age of [3, 1, 4, 0, 2]) await tx.writeReceipt(`key ${age}`, 'x', nowMs - age)
      })
      const kept = async (): Promise<number[]> => {
        const { value } = await log.write(tx =>
          Promise.all([0, 1, 2, 3, 4].map(age => tx.readReceipt(`key ${age}`))),
        )
        return value.flatMap((receipt, age) => (receipt === undefined ? [] : [age]))
      }
      await log.prune()
      await log.prune({ maxReceipts: Number.POSITIVE_INFINITY })
      assert.deepEqual(await kept(), [0, 1, 2, 3, 4])
      await log.prune({ maxReceipts: 2 })
      assert.deepEqual(await kept(), [0, 1])
      await rejects(log.prune({ maxReceipts: -1 }), 'invalid-option')
      const large = log.write(tx => tx.writeReceipt('large', 'x'.repeat(16_777_217), nowMs))
      await rejects(large, 'too-many-changes')
    })

    test('a work is about so many streams as a marker may name', async () => {
      const streams = Array.from({ length: 33 }, (_, index) => `s${index + 10}`)
      await using log = await openWith(streams)
      const work = (count: number) => async (tx: LogTransaction) => {
        for (const stream of streams.slice(0, count)) await save(tx, `/${stream}/1`, { count })
        await tx.writeReceipt('key', 'x', newYearMs)
      }
      await rejects(log.write(work(33)), 'too-many-changes')
      assert.equal((await log.head('s10')).seq, 0)
      const { marker } = await log.write(work(32))
      const { value } = await log.write(tx => tx.readReceipt('key'))
      assert.deepEqual(value?.marker, marker)
    })

    test('a transaction cannot be used after its work has ended', async () => {
      await using log = await openWith(['people'])
      let kept: LogTransaction | undefined
      await log.write(async tx => {
        kept = tx
      })
      await assert.rejects(kept!.read('/people/1'), /has ended/)
      await assert.rejects(save(kept!, '/people/1', { n: 1 }), /has ended/)
      await assert.rejects(kept!.readPathsUnder('/people/1', 1), /has ended/)
      await assert.rejects(kept!.readReceipt('key'), /has ended/)
      await assert.rejects(kept!.writeReceipt('key', '', 0), /has ended/)
    })

    test('a work that takes too long is undone, and the others go on', async () => {
      await using log = await openWith(['people'], { transactionTimeoutMs: 20 })
      let kept: LogTransaction | undefined
      const results = await Promise.allSettled([
        log.write(tx => save(tx, '/people/1', { n: 1 })),
        log.write(async tx => {
          kept = tx
          await save(tx, '/people/2', { n: 1 })
          await new Promise(() => {})
        }),
        log.write(tx => save(tx, '/people/3', { n: 1 })),
      ])
      assert.deepEqual(
        results.map(({ status }) => status),
        ['fulfilled', 'rejected', 'fulfilled'],
      )
      await rejects(Promise.reject((results[1] as PromiseRejectedResult).reason), 'transaction-timeout')
      await rejects(kept!.read('/people/2'), 'transaction-timeout')
      await rejects(save(kept!, '/people/2', { n: 2 }), 'transaction-timeout')
      assert.deepEqual(
        (await readAll(log, 'people')).map(({ path }) => path),
        ['/people/1', '/people/3'],
      )
    })

    test('a work in which a call failed is undone as a whole, also where it catches the error', async () => {
      await using log = await openWith(['people'], { maxTransactionChanges: 2 })
      const half = log.write(async tx => {
        assert.equal(tx.changesLeft, 2)
        for (const id of [1, 2, 3]) await save(tx, `/people/${id}`, { id }).catch(() => {})
        return tx.changesLeft
      })
      const after = log.write(tx => save(tx, '/people/4', { n: 1 }))
      await rejects(half, 'too-many-changes')
      await after
      assert.deepEqual(
        (await readAll(log, 'people')).map(({ path }) => path),
        ['/people/4'],
      )
      const wrong = log.write(async tx => {
        await save(tx, '/people/5', { n: 1 })
        await save(tx, '/people/4', { n: 1 }, { version: 9 }).catch(() => {})
      })
      await assert.rejects(wrong, /the version 9 does not follow 1/)
      assert.equal((await log.head('people')).seq, 1)
    })

    test('one work may not make more changes, or larger ones, than the limit', async () => {
      await using log = await openWith(['people'], { maxTransactionChanges: 3 })
      const work = (count: number) => async (tx: LogTransaction) => {
        for (let index = 0; index < count; index++) await save(tx, `/people/${index}`, { n: count })
      }
      await rejects(log.write(work(4)), 'too-many-changes')
      const large = 'x'.repeat(30_000_000)
      const tooLarge = log.write(async tx => {
        for (const id of [1, 2, 3]) await save(tx, `/people/${id}`, { large })
      })
      await rejects(tooLarge, 'too-many-changes')
      assert.equal((await log.head('people')).seq, 0)
      await log.write(work(3))
    })

    test('limits that cannot be used are refused at the opening', async () => {
      for (const options of [
        { maxWaitingWrites: Number.NaN },
        { maxTransactionChanges: 0 },
        { transactionTimeoutMs: Number.POSITIVE_INFINITY },
        { transactionTimeoutMs: 2 ** 31 },
      ]) {
        await rejects(open(options), 'invalid-option')
      }
    })

    test('when too many writes wait, one more is refused at once', async () => {
      await using log = await openWith(['people'], { maxWaitingWrites: 4 })
      const results = await Promise.allSettled(
        Array.from({ length: 6 }, (_, index) => log.write(tx => save(tx, `/people/${index}`, { n: 1 }))),
      )
      const refused = results.filter(result => result.status === 'rejected')
      assert.equal(refused.length, 2)
      for (const { reason } of refused) assert.ok(isLockstepError(reason, 'overloaded'))
      await log.write(tx => save(tx, '/people/later', { n: 1 }))
    })
  })

  describe(`${name}: reading`, () => {
    test('a head and what is read with it are from one snapshot while others write', async () => {
      await using log = await openWith(['people'])
      let writing = true
      const writers = Array.from({ length: 4 }, async (_, writer) => {
        for (let n = 0; n < 50; n++) await log.write(tx => save(tx, `/people/${writer}`, { n }))
      })
      const ended = Promise.all(writers).finally(() => {
        writing = false
      })
      while (writing) {
        // Each change raises one version by one, so the head is the sum of the versions.
        const { head, items } = await log.readCollection('/people', { limit: 10 })
        assert.equal(
          items.reduce((sum, { version }) => sum + version, 0),
          head.seq,
        )
        const page = await log.readLatest('people', all)
        assert.equal(
          page.latest.reduce((sum, { version }) => sum + version, 0),
          page.head.seq,
        )
        const changes = await log.readChanges('people', all)
        assert.equal(changes.changes.length, changes.head.seq)
        await new Promise(resolve => setImmediate(resolve))
      }
      await ended
    })

    test('a collection is read in order of its paths, page by page, without nested and deleted resources', async () => {
      await using log = await openWith(['people'])
      const ids = ['b', 'a', 'a-1', 'a%2F', 'B', '10', '9', 'Z', '%C3%A9']
      await log.write(async tx => {
        for (const id of ids) await save(tx, `/people/${id}`, { id })
        await save(tx, '/people/a/friends/1', { n: 1 })
        await save(tx, '/people/a/friends/2', { n: 1 })
        await save(tx, '/people/gone', { n: 1 })
        await save(tx, '/people/gone', undefined)
      })
      const read: string[] = []
      for (let afterPath: string | undefined; ; ) {
        const { items, more } = await log.readCollection('/people', { afterPath, limit: 4 })
        read.push(...items.map(({ path }) => path))
        afterPath = items.at(-1)?.path
        assert.equal(more, read.length < ids.length)
        if (!more) break
      }
      assert.deepEqual(
        read,
        ids.map(id => `/people/${id}`).sort((a, b) => (a < b ? -1 : 1)),
      )
      const nested = await log.readCollection('/people/a/friends', { limit: 2 })
      assert.deepEqual(
        nested.items.map(({ path }) => path),
        ['/people/a/friends/1', '/people/a/friends/2'],
      )
      assert.equal(nested.more, false)
      assert.deepEqual((await log.readCollection('/people/none/friends', { limit: 2 })).items, [])
    })

    test('a page of a collection ends before it grows too large, with at least one item', async () => {
      await using log = await openWith(['people'])
      await log.write(async tx => {
        for (const id of ['a', 'b', 'c', 'd']) await save(tx, `/people/${id}`, { id })
      })
      // Each state has 10 characters.
      for (const [maxChars, limit, count, isMore] of [
        [undefined, 9, 4, false],
        [40, 4, 4, false],
        [39, 9, 3, true],
        [20, 9, 2, true],
        [20, 1, 1, true],
        [1, 9, 1, true],
      ] as const) {
        const { items, more } = await log.readCollection('/people', { limit, maxChars })
        assert.deepEqual([items.length, more], [count, isMore], `${maxChars} characters`)
      }
      const last = await log.readCollection('/people', { afterPath: '/people/c', limit: 9, maxChars: 1 })
      assert.deepEqual([last.items.length, last.more], [1, false])
    })

    test('changes are read in complete intervals', async () => {
      await using log = await openWith(['people'])
      for (let n = 1; n <= 10; n++) await log.write(tx => save(tx, `/people/${n % 3}`, { n }))
      await settle(log)
      const read = async (after: number, limit: number, maxChars?: number): Promise<number[]> => {
        const { to, changes, head } = await log.readChanges('people', { after, limit, maxChars })
        assert.equal(head.seq, 10)
        assert.deepEqual(
          changes.map(({ seq }) => seq),
          Array.from({ length: changes.length }, (_, index) => after + 1 + index),
        )
        return [to, changes.length]
      }
      assert.deepEqual(await read(0, 4), [4, 4])
      assert.deepEqual(await read(4, 4), [8, 4])
      assert.deepEqual(await read(8, 4), [10, 2])
      assert.deepEqual(await read(10, 4), [10, 0])
      assert.deepEqual(await read(11, 4), [11, 0])
      assert.deepEqual(await read(0, 100, 1), [1, 1])
      const [{ messageText } = { messageText: '' }] = (await log.readChanges('people', all)).changes
      assert.deepEqual(await read(0, 100, messageText.length * 2), [2, 2])
      assert.deepEqual(await read(0, 100, messageText.length * 2 - 1), [1, 1])
    })

    test('changes under a path are that resource and what is below it, and the interval says what was looked at', async () => {
      await using log = await openWith(['people'])
      const paths = ['/people/1', '/people/10', '/people/1/friends/1', '/people/1-', '/people/2', '/people/1']
      for (const [n, path] of paths.entries()) await log.write(tx => save(tx, path, { n }))
      await settle(log)
      const read = async (
        under: string,
        after: number,
        limit: number,
        maxChars?: number,
      ): Promise<unknown> => {
        const page = await log.readChanges('people', { under, after, limit, maxChars })
        return [page.to, ...page.changes.map(({ seq }) => seq)]
      }
      assert.deepEqual(await read('/people/1', 0, 100), [6, 1, 3, 6])
      assert.deepEqual(await read('/people/1', 0, 2), [2, 1])
      assert.deepEqual(await read('/people/1', 3, 2), [5])
      assert.deepEqual(await read('/people/1', 0, 100, 1), [1, 1])
      assert.deepEqual(await read('/people', 0, 100), [6, 1, 2, 3, 4, 5, 6])
      assert.deepEqual(await read('/people/1/friends', 0, 100), [6, 3])
    })

    test('the latest of each changed resource is read once, in order of its last change', async () => {
      await using log = await openWith(['people'])
      for (const [path, n] of [
        ['/people/1', 1],
        ['/people/2', 2],
        ['/people/1', 3],
        ['/people/3', 4],
        ['/people/2/friends/1', 5],
      ] as const) {
        await log.write(tx => save(tx, path, { n }))
      }
      await log.write(tx => save(tx, '/people/3', undefined))
      await settle(log)
      const { head, to, latest } = await log.readLatest('people', all)
      assert.deepEqual([head.seq, to], [6, 6])
      assert.deepEqual(latest, [
        { path: '/people/2', seq: 2, version: 1, stateText: '{"n":2}' },
        { path: '/people/1', seq: 3, version: 2, stateText: '{"n":3}' },
        { path: '/people/2/friends/1', seq: 5, version: 1, stateText: '{"n":5}' },
        { path: '/people/3', seq: 6, version: 2, stateText: undefined },
      ])
      const read = async (
        after: number,
        limit: number,
        under?: string,
        maxChars?: number,
      ): Promise<unknown> => {
        const page = await log.readLatest('people', { after, limit, under, maxChars })
        return [page.to, ...page.latest.map(({ seq }) => seq)]
      }
      assert.deepEqual(await read(0, 2), [3, 2, 3])
      assert.deepEqual(await read(3, 2), [6, 5, 6])
      assert.deepEqual(await read(3, 3), [6, 5, 6])
      assert.deepEqual(await read(6, 2), [6])
      assert.deepEqual(await read(7, 2), [7])
      assert.deepEqual(await read(0, 100, '/people/2'), [6, 2, 5])
      assert.deepEqual(await read(0, 2, '/people/3'), [3])
      assert.deepEqual(await read(0, 100, undefined, 1), [2, 2])
    })
  })

  describe(`${name}: retention and epochs`, () => {
    test('changes one too many are deleted, and the log says what it still holds', async () => {
      await using log = await openWith(['people', 'orders'])
      for (let n = 1; n <= 10; n++) await log.write(tx => save(tx, '/people/1', { n }))
      await log.write(tx => save(tx, '/orders/1', { n: 1 }))
      await settle(log)
      assert.equal(await log.prune({ maxRows: 4, minRows: 0 }), 6)
      const { epoch } = await log.head('people')
      assert.deepEqual(await log.head('people'), { stream: 'people', epoch, seq: 10, first: 7 })
      const seqs = async (after: number): Promise<unknown> => {
        const { to, changes } = await log.readChanges('people', { after, limit: 100 })
        return [to, ...changes.map(({ seq }) => seq)]
      }
      assert.deepEqual(await seqs(6), [10, 7, 8, 9, 10])
      assert.deepEqual(await seqs(5), [5])
      assert.deepEqual((await log.readLatest('people', { after: 5, limit: 9 })).to, 5)
      assert.equal((await log.readLatest('people', { after: 6, limit: 9 })).latest.length, 1)
      assert.equal((await log.head('orders')).first, 1)
      assert.equal(await log.prune({ maxRows: 0, minRows: 0 }), 5)
      assert.deepEqual(await log.head('people'), { stream: 'people', epoch, seq: 10, first: 11 })
      assert.deepEqual(await seqs(10), [10])
      await log.write(tx => save(tx, '/people/1', { n: 11 }))
      await settle(log)
      assert.deepEqual(await seqs(10), [11, 11])
    })

    test('changes too old are deleted, but the newest stay whatever their age', async () => {
      await using log = await openWith(['people'], { now: () => newYearMs })
      // The ages in hours; the third is out of order, as after a clock that was set.
      for (const [n, age] of [9, 8, 2, 7, 1].entries()) {
        await log.write(tx => save(tx, '/people/1', { n }, { timeMs: newYearMs - age * hourMs }))
      }
      await settle(log)
      const first = async (): Promise<number> => (await log.head('people')).first
      assert.equal(await log.prune({ maxAgeMs: 10 * hourMs, minRows: 0 }), 0)
      assert.equal(await log.prune({ maxAgeMs: 5 * hourMs, minRows: 4 }), 1)
      assert.equal(await first(), 2)
      assert.equal(await log.prune({ maxAgeMs: 5 * hourMs, minRows: 0 }), 1)
      assert.equal(await first(), 3)
      assert.equal(await log.prune({ maxAgeMs: 0, minRows: 1 }), 2)
      assert.equal(await first(), 5)
      await rejects(log.prune({ maxRows: -1 }), 'invalid-option')
    })

    test('where the clock jumps ahead, nothing is deleted by age because of that, also later', async () => {
      let nowMs = newYearMs
      const notices: string[] = []
      await using log = await openWith(['people'], {
        now: () => nowMs,
        onError: (error, { stage }) => void notices.push(`${stage}: ${(error as Error).message}`),
      })
      for (let n = 0; n < 5; n++) await log.write(tx => save(tx, '/people/1', { n }, { timeMs: newYearMs }))
      await settle(log)
      const retention = { maxAgeMs: hourMs, maxRows: 4, minRows: 0 }
      assert.equal(await log.prune({ ...retention, maxRows: 5 }), 0)
      nowMs += 2 * hourMs
      assert.equal(await log.prune(retention), 1)
      assert.equal(notices.length, 1)
      assert.match(notices[0]!, /^prune: The clock jumped ahead by 7[12]\d\d s/)
      assert.equal(await log.prune(retention), 0)
      nowMs = newYearMs + hourMs / 2
      assert.equal(await log.prune({ ...retention, maxAgeMs: 0 }), 4)
      assert.equal(notices.length, 1)
    })

    test('a tombstone lives as long as its deletion is in the log, and the version goes on above it', async () => {
      await using log = await openWith(['people'])
      await log.write(tx => save(tx, '/people/1', { n: 1 }))
      for (const state of [{ n: 1 }, { n: 2 }, undefined]) await log.write(tx => save(tx, '/people/2', state))
      await log.write(tx => save(tx, '/people/3', { n: 1 }))
      await settle(log)
      await log.prune({ maxRows: 2, minRows: 0 })
      assert.deepEqual(await stored(log, '/people/2'), { version: 3, stateText: undefined, deleted: true })
      await log.prune({ maxRows: 1, minRows: 0 })
      // Also a resource that never was begins above every version that is forgotten.
      assert.deepEqual(await stored(log, '/people/2'), { version: 3, stateText: undefined, deleted: false })
      assert.deepEqual(await stored(log, '/people/9'), { version: 3, stateText: undefined, deleted: false })
      assert.deepEqual(await stored(log, '/people/1'), { version: 1, stateText: '{"n":1}', deleted: false })
      await log.write(tx => save(tx, '/people/2', { n: 4 }))
      assert.equal((await stored(log, '/people/2')).version, 4)
      // Forgetting a lower version later does not lower what is above all of them.
      await log.write(tx => save(tx, '/people/1', undefined))
      await settle(log)
      await log.prune({ maxRows: 0, minRows: 0 })
      assert.deepEqual(await stored(log, '/people/1'), { version: 3, stateText: undefined, deleted: false })
    })

    test('a new epoch begins at 0 without old changes, and resources keep their versions', async () => {
      await using log = await openWith(['people', 'orders'])
      for (const state of [{ n: 1 }, { n: 2 }]) await log.write(tx => save(tx, '/people/1', state))
      for (const state of [{ n: 1 }, undefined]) await log.write(tx => save(tx, '/people/2', state))
      await log.write(tx => save(tx, '/orders/1', { n: 1 }))
      await settle(log)
      const [before, orders] = await Promise.all([log.head('people'), log.head('orders')])
      await log.setRelayed('people', before.epoch, 3)
      const head = await log.renewEpoch('people')
      assert.notEqual(head.epoch, before.epoch)
      assert.deepEqual(head, { stream: 'people', epoch: head.epoch, seq: 0, first: 1 })
      assert.deepEqual(await log.head('people'), head)
      assert.deepEqual(await log.head('orders'), orders)
      assert.equal(await log.relayed('people'), -1)
      assert.deepEqual(await log.readChanges('people', all), { head, to: 0, changes: [] })
      assert.deepEqual(await log.readLatest('people', all), { head, to: 0, latest: [] })
      assert.deepEqual(await stored(log, '/people/1'), { version: 2, stateText: '{"n":2}', deleted: false })
      assert.deepEqual(await stored(log, '/people/2'), { version: 2, stateText: undefined, deleted: true })
      await log.write(tx => save(tx, '/people/1', { n: 3 }))
      await settle(log)
      const [change] = (await log.readChanges('people', all)).changes
      assert.deepEqual([change?.seq, change?.version], [1, 3])
      assert.equal(parseMessage(change!.messageText)?.id, `people:${head.epoch}:1`)
      assert.deepEqual(
        (await log.readLatest('people', all)).latest.map(({ path, seq }) => [path, seq]),
        [['/people/1', 1]],
      )
      await log.prune({ minRows: 0 })
      assert.deepEqual(await stored(log, '/people/2'), { version: 2, stateText: undefined, deleted: false })
    })

    test('how far the relay came is remembered per epoch and never goes back', async () => {
      await using log = await openWith(['people'])
      for (let n = 0; n < 5; n++) await log.write(tx => save(tx, '/people/1', { n }))
      await settle(log)
      const { epoch } = await log.head('people')
      assert.equal(await log.relayed('people'), 0)
      await log.setRelayed('people', epoch, 3)
      assert.equal(await log.relayed('people'), 3)
      await log.setRelayed('people', epoch, 2)
      assert.equal(await log.relayed('people'), 3)
      await log.setRelayed('people', 'other', 5)
      assert.equal(await log.relayed('people'), 3)
    })
  })

  describe(`${name}: listening and closing`, () => {
    test('each commit is told once with the heads that moved, also where a listener throws', async () => {
      const errors: string[] = []
      const onError = (_error: unknown, { stage }: { readonly stage: string }): void =>
        void errors.push(stage)
      await using log = await openWith(['people', 'orders'], { onError })
      const heard: string[] = []
      log.onCommit(() => {
        throw new Error('a listener fails')
      })
      const stop = log.onCommit(heads => {
        heard.push(heads.map(({ stream, seq }) => `${stream} ${seq}`).join(', '))
      })
      await log.write(async tx => {
        await save(tx, '/people/1', { n: 1 })
        await save(tx, '/orders/1', { n: 1 })
      })
      await log.write(tx => tx.read('/people/1'))
      await log.write(tx => save(tx, '/people/1', { n: 2 }))
      await log.renewEpoch('people')
      assert.deepEqual(heard, ['people 1, orders 1', 'people 2', 'people 0'])
      assert.deepEqual(errors, ['on-commit', 'on-commit', 'on-commit'])
      stop()
      await log.write(tx => save(tx, '/people/1', { n: 3 }))
      assert.equal(heard.length, 3)
    })

    test('an onError that throws harms neither the write nor those that follow', async () => {
      await using log = await openWith(['people'], {
        onError: () => {
          throw new Error('the reporter fails')
        },
      })
      log.onCommit(() => {
        throw new Error('a listener fails')
      })
      for (let n = 1; n <= 3; n++) await log.write(tx => save(tx, '/people/1', { n }))
      await settle(log)
      assert.equal((await log.head('people')).seq, 3)
    })

    test('closing lets what was accepted end, and refuses what comes later', async () => {
      const log = await openWith(['people'])
      const gate = Promise.withResolvers<void>()
      const begun = Promise.withResolvers<void>()
      const running = log.write(async tx => {
        await save(tx, '/people/1', { n: 1 })
        begun.resolve()
        await gate.promise
      })
      await begun.promise
      const waiting = log.write(tx => save(tx, '/people/2', { n: 1 }))
      const closing = log.close()
      const late = log.write(tx => save(tx, '/people/3', { n: 1 }))
      await rejects(late, 'log-closed')
      gate.resolve()
      assert.equal((await running).marker[0]?.seq, 1)
      assert.equal((await waiting).marker[0]?.seq, 2)
      await closing
      await log.close()
      await rejects(log.head('people'), 'log-closed')
      await rejects(log.readResource('/people/1'), 'log-closed')
      await rejects(log.readChanges('people', all), 'log-closed')
      await rejects(log.ensureStreams(['people']), 'log-closed')
      await rejects(log.prune(), 'log-closed')
      await rejects(log.setRelayed('people', 'x', 1), 'log-closed')
    })
  })

  describe(`${name}: all together`, () => {
    for (const seed of [1, 2, 3]) {
      test(`after random works the log, the resources and the lists tell the same story (seed ${seed})`, async () => {
        await using log = await openWith(['people', 'orders'], { onError: () => {} })
        const random = seeded(seed)
        for (let round = 0; round < 30; round++) {
          await Promise.allSettled(
            Array.from({ length: 1 + random(20) }, () => log.write(randomWork(random))),
          )
        }
        for (const stream of ['people', 'orders']) {
          const changes = await readAll(log, stream)
          checkSequence(changes)
          const told = fold(changes)
          const { latest } = await log.readLatest(stream, all)
          assert.equal(latest.length, told.size)
          for (const { path, seq, version, stateText } of latest) {
            assert.deepEqual({ seq, version, stateText }, told.get(path), path)
            const { head, resource } = await log.readResource(path)
            assert.equal(head.seq, changes.length)
            assert.deepEqual(resource, { version, stateText, deleted: stateText === undefined })
          }
          const { items } = await log.readCollection(`/${stream}`, { limit: 1_000 })
          const existing = latest.filter(({ stateText }) => stateText !== undefined)
          assert.deepEqual(
            items,
            existing
              .map(({ path, version, stateText }) => ({ path, version, stateText }))
              .sort((a, b) => (a.path < b.path ? -1 : 1)),
          )
        }
      })
    }
  })
}

/** Creates, modifies or deletes (`undefined`) a resource as a service does, from what the transaction sees. */
export async function save(
  tx: LogTransaction,
  path: string,
  state: JsonObject | undefined,
  rest: Partial<NewChange> = {},
): Promise<void> {
  const before = await tx.read(path)
  const event = state === undefined ? 'deleted' : before.stateText === undefined ? 'created' : 'modified'
  const stateText = state === undefined ? undefined : JSON.stringify(state)
  const version = before.version + 1
  await tx.write({ event, path, topicPath: path, version, stateText, timeMs: Date.now(), ...rest })
}

/** Numbers follow each other by one from the first, and so do the versions of each resource. */
export function checkSequence(changes: readonly LoggedChange[]): void {
  const versions = new Map<string, number>()
  for (const [index, { seq, path, version, event }] of changes.entries()) {
    assert.equal(seq, changes[0]!.seq + index)
    const before = versions.get(path)
    if (before !== undefined) assert.equal(version, before + 1, `${path} at ${seq}`)
    else if (changes[0]!.seq === 1) assert.deepEqual([event, version], ['created', 1])
    versions.set(path, version)
  }
}

interface Told {
  readonly seq: number
  readonly version: number
  readonly stateText: string | undefined
}

/** What the messages make of each resource. */
function fold(changes: readonly LoggedChange[]): Map<string, Told> {
  const told = new Map<string, Told>()
  for (const { seq, path, version, messageText } of changes) {
    const message = parseMessage(messageText)!
    const before = told.get(path)?.stateText
    let stateText: string | undefined
    if (message.event === 'created') stateText = JSON.stringify(message.state)
    if (message.event === 'modified') {
      stateText = JSON.stringify(
        message.state ?? applyMergePatch(JSON.parse(before!) as Json, message.changes!),
      )
    }
    told.set(path, { seq, version, stateText })
  }
  return told
}

function randomWork(random: (below: number) => number): (tx: LogTransaction) => Promise<void> {
  return async tx => {
    for (let left = 1 + random(4); left > 0; left--) {
      const path = `/${random(2) === 0 ? 'people' : 'orders'}/${random(8)}`
      const { stateText } = await tx.read(path)
      if (random(20) === 0) throw new Error('a work fails')
      const state = { n: random(1_000_000) }
      if (stateText !== undefined && random(4) === 0) await save(tx, path, undefined)
      else if (stateText !== undefined && random(2) === 0) {
        await save(tx, path, state, { changesText: JSON.stringify(state) })
      } else await save(tx, path, state)
    }
  }
}

async function stored(log: ChangeLog, path: string): Promise<StoredResource> {
  return (await log.readResource(path)).resource
}

async function rejects(promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  await assert.rejects(promise, error => {
    assert.ok(isLockstepError(error, code), `${String(error)} is not ${code}`)
    return true
  })
}

/** A small generator of random numbers (mulberry32): the same seed gives the same works. */
function seeded(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}
