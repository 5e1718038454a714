/** What is acknowledged survives the end of the process, whenever that comes. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openSqliteLog } from '../../src/log/sqlite.ts'
import { checkSequence, save } from '../suites/change-log.ts'
import { type Acknowledged, startLogWriter } from '../support/log-process.ts'

const folder = mkdtempSync(join(tmpdir(), 'lockstep-crash-'))
after(() => rmSync(folder, { recursive: true, force: true }))

test('after kill -9 under load every acknowledged write is there, without a hole, in the same epoch', async () => {
  const file = join(folder, 'killed.db')
  const acknowledged: Acknowledged[] = []
  const epochs = new Set<string>()
  for (const count of [1, 40, 300, 700, 1_500]) {
    const writer = startLogWriter(file, 16)
    await writer.heard(count)
    await writer.kill()
    assert.ok(writer.acknowledged.length >= count)
    acknowledged.push(...writer.acknowledged)

    await using log = await openSqliteLog({ file })
    assert.deepEqual(log.renewed, [])
    const { head, changes } = await log.readChanges('people', { after: 0, limit: 1_000_000 })
    epochs.add(head.epoch)
    assert.equal(changes.length, head.seq)
    checkSequence(changes)
    for (const { path, version, seq } of acknowledged) {
      const change = changes[seq - 1]
      assert.deepEqual([change?.path, change?.version], [path, version])
    }
    const { latest } = await log.readLatest('people', { after: 0, limit: 1_000_000 })
    // As many changes as versions: nothing is in the resources that is not in the log, or the other way round.
    assert.equal(
      latest.reduce((sum, { version }) => sum + version, 0),
      head.seq,
    )
    for (const { path, seq, version } of latest) assert.equal(changes[seq - 1]?.version, version, path)
  }
  for (const { epoch } of acknowledged) epochs.add(epoch)
  assert.equal(epochs.size, 1)
})

test('two processes write one file, and the numbers and versions are those of one log', async () => {
  const file = join(folder, 'shared.db')
  await using log = await openSqliteLog({ file })
  await log.ensureStreams(['people'])
  const writers = [startLogWriter(file, 4, 40), startLogWriter(file, 4, 40)]
  await Promise.all(writers.map(writer => writer.heard(1)))
  const own = Array.from({ length: 4 }, async (_, writer) => {
    for (let n = 0; n < 40; n++) {
      const path = n % 2 === 0 ? '/people/shared' : `/people/own-${writer}`
      await log.write(tx => save(tx, path, { writer, n }))
    }
  })
  const codes = await Promise.all([...writers.map(({ ended }) => ended), Promise.all(own).then(() => 0)])
  assert.deepEqual(codes, [0, 0, 0])
  const { head, changes } = await log.readChanges('people', { after: 0, limit: 10_000 })
  assert.equal(head.seq, 3 * 4 * 40)
  checkSequence(changes)
  for (const { path, version, seq, epoch } of writers.flatMap(({ acknowledged }) => acknowledged)) {
    assert.deepEqual([changes[seq - 1]?.path, changes[seq - 1]?.version], [path, version])
    assert.equal(epoch, head.epoch)
  }
})
