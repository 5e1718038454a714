/** The journal on a real disk: what is left over after an end without a word. */
import assert from 'node:assert/strict'
import { appendFile, copyFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { openIntentJournal } from '../../src/sidecar/intent-journal.ts'

async function temporaryFile(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'lockstep-journal-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  return join(dir, 'intents')
}

test('what is held is on disk before the promise resolves, and left over after a crash', async t => {
  const file = await temporaryFile(t)
  await using journal = await openIntentJournal({ file })
  await journal.hold(['/people/ann', '/people'])
  await copyFile(file, `${file}2`)
  await using next = await openIntentJournal({ file: `${file}2` })
  assert.deepEqual(next.leftOver, ['/people/ann', '/people'])
})

test('a path that was held shortly before needs no disk', async t => {
  await using journal = await openIntentJournal({ file: await temporaryFile(t) })
  await journal.hold(['/people'])
  assert.equal(journal.hold(['/people']), undefined)
  journal.release(['/people'])
  journal.release(['/people'])
  assert.equal(journal.hold(['/people']), undefined)
})

test('a line that was cut off is no intent, and what was released long ago is none', async t => {
  const file = await temporaryFile(t)
  const journal = await openIntentJournal({ file, maxKept: 1 })
  await journal.hold(['/people/1', '/people/2'])
  journal.release(['/people/1', '/people/2'])
  await journal.hold(['/people/3'])
  await appendFile(file, '+/people/4')
  await copyFile(file, `${file}2`)
  await journal.close()
  await using next = await openIntentJournal({ file: `${file}2` })
  assert.deepEqual(next.leftOver, ['/people/2', '/people/3'])
})

test('after an orderly end only what is still held is left over', async t => {
  const file = await temporaryFile(t)
  const journal = await openIntentJournal({ file })
  await journal.hold(['/people/1', '/people/2'])
  journal.release(['/people/1'])
  await journal.close()
  assert.equal(await readFile(file, 'utf8'), '+/people/2\n')
})

test('the file is written anew where it grows, and the number of paths is limited', async t => {
  const file = await temporaryFile(t)
  await using journal = await openIntentJournal({ file, maxFileBytes: 200, maxKept: 1, maxHeld: 2 })
  for (let index = 0; index < 100; index++) {
    await journal.hold([`/people/${index}`])
    journal.release([`/people/${index}`])
  }
  assert.ok((await readFile(file, 'utf8')).length < 400)
  assert.throws(() => journal.hold(['/a', '/b', '/c']), { code: 'overloaded' })
})
