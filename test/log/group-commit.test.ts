import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isLockstepError, type LockstepError } from '../../src/contract/index.ts'
import type { Batch, StreamState } from '../../src/log/batch.ts'
import { type CommitStore, GroupCommit } from '../../src/log/group-commit.ts'
import { save } from '../suites/change-log.ts'

interface Calls {
  readonly group: GroupCommit
  /** What happened, in order. */
  readonly told: string[]
}

/** A store that keeps nothing and fails where it is told to. */
function createGroup(failing: { begin?: Error; commit?: Error } = {}): Calls {
  const told: string[] = []
  const state: StreamState = { epoch: 'k3f9', head: 0, first: 1, versionFloor: 0 }
  const store: CommitStore = {
    async begin() {
      told.push('begin')
      if (failing.begin !== undefined) throw failing.begin
    },
    commit(batch: Batch) {
      told.push(`commit ${batch.changes.length}`)
      if (failing.commit !== undefined) throw failing.commit
    },
    rollback: () => void told.push('rollback'),
    stream: () => state,
    resource: () => undefined,
    pathsBelow: () => [],
    receipt: () => undefined,
  }
  const hooks = {
    onCommitted: (batch: Batch) => void told.push(`committed ${batch.movedHeads()[0]?.seq}`),
    onFailed: (error: LockstepError) => void told.push(error.code),
    newId: () => 'id',
  }
  return { group: new GroupCommit(store, hooks), told }
}

test('a batch begins at the next turn of the event loop with what waits then', async () => {
  const { group, told } = createGroup()
  const write = (id: number) =>
    group.write(async tx => {
      told.push(`work ${id}`)
      await save(tx, `/people/${id}`, { id })
    })
  const first = [write(1), write(2)]
  await Promise.resolve()
  first.push(write(3))
  assert.deepEqual(told, [])
  await Promise.all(first)
  assert.deepEqual(told.splice(0), ['begin', 'work 1', 'work 2', 'work 3', 'commit 3', 'committed 3'])
  await write(4)
  assert.deepEqual(told, ['begin', 'work 4', 'commit 1', 'committed 1'])
})

test('what arrives while a batch runs waits for the next one', async () => {
  const { group, told } = createGroup()
  let later: Promise<unknown> | undefined
  await group.write(async tx => {
    later = group.write(tx => save(tx, '/people/2', {}))
    await save(tx, '/people/1', {})
  })
  assert.deepEqual(told.splice(0), ['begin', 'commit 1', 'committed 1'])
  await later
  assert.deepEqual(told, ['begin', 'commit 1', 'committed 1'])
})

test('a batch that a slow work has held up is committed first, and the order stays', async () => {
  const { group, told } = createGroup()
  const write = (id: number) => group.write(async () => void told.push(`work ${id}`))
  let late: Promise<unknown> | undefined
  await Promise.all([
    group.write(async tx => {
      const endMs = performance.now() + 120
      while (performance.now() < endMs) await new Promise(resolve => setImmediate(resolve))
      late = write(4)
      await save(tx, '/people/1', {})
    }),
    write(2),
    write(3),
  ])
  await late
  assert.deepEqual(told, [
    'begin',
    'commit 1',
    'committed 1',
    'begin',
    'work 2',
    'work 3',
    'work 4',
    'commit 0',
  ])
})

test('no timer outlives its work', async () => {
  const { group } = createGroup()
  const timers = (): number => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const before = timers()
  await Promise.allSettled([
    group.write(tx => save(tx, '/people/1', {})),
    group.write(() => Promise.reject(new Error('a work fails'))),
  ])
  assert.equal(timers(), before)
})

test('a store that cannot begin fails the batch with the cause, and nothing is run', async () => {
  const begin = new Error('locked')
  const { group, told } = createGroup({ begin })
  const writes = [1, 2].map(() => group.write(() => assert.fail('the work was run')))
  for (const write of writes) await rejectsWithCause(write, begin)
  assert.deepEqual(told, ['begin', 'log-failed'])
})

test('a commit that fails is rolled back and fails all its works, those too that had failed by themselves', async () => {
  const commit = new Error('disk full')
  const failing: { commit?: Error } = { commit }
  const { group, told } = createGroup(failing)
  const writes = [
    group.write(tx => save(tx, '/people/1', {})),
    group.write(() => Promise.reject(new Error('judged by what was never committed'))),
  ]
  for (const write of writes) await rejectsWithCause(write, commit)
  assert.deepEqual(told.splice(0), ['begin', 'commit 1', 'rollback', 'log-failed'])
  failing.commit = undefined
  assert.equal((await group.write(tx => save(tx, '/people/1', {}))).marker[0]?.seq, 1)
})

test('a work that throws instead of rejecting fails alone', async () => {
  const { group } = createGroup()
  const thrown = new Error('thrown')
  const [bad, good] = await Promise.allSettled([
    group.write(() => {
      throw thrown
    }),
    group.write(async () => 'good'),
  ])
  assert.equal(bad.status === 'rejected' && bad.reason, thrown)
  assert.deepEqual(good.status === 'fulfilled' && good.value, { value: 'good', marker: [] })
})

test('jobs run alone, in turns with batches, and their failures are theirs', async () => {
  const { group, told } = createGroup()
  const job = (id: number) => group.alone(async () => void told.push(`job ${id}`))
  const failure = new Error('a job fails')
  const results = await Promise.allSettled([
    group.write(tx => save(tx, '/people/1', {})),
    job(1),
    job(2),
    group.alone(() => Promise.reject(failure)),
  ])
  assert.deepEqual(told, ['job 1', 'begin', 'commit 1', 'committed 1', 'job 2'])
  const last = results.at(-1)
  assert.equal(last?.status === 'rejected' && last.reason, failure)
})

async function rejectsWithCause(write: Promise<unknown>, cause: Error): Promise<void> {
  await assert.rejects(write, error => {
    assert.ok(isLockstepError(error, 'log-failed'))
    assert.equal(error.cause, cause)
    return true
  })
}
