/** API keys and their file: made once, kept hashed, ended, rotated, and read again without a restart. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createApiKey, hashApiKey, isApiKey } from '../../../src/gateway/access/api-key.ts'
import { addKey, readKeys, readLastUsed, revokeKey, rotateKey } from '../../../src/gateway/access/key-file.ts'
import { openKeyRing } from '../../../src/gateway/access/key-ring.ts'

const ann = { name: 'web', account: 'ann', plan: 'free', scopes: ['people:read'] }

async function inFolder(work: (file: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-keys-'))
  try {
    await work(join(folder, 'keys.json'))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
const open = (file: string, more: object = {}) =>
  openKeyRing({ file, onError: () => {}, lookEveryMs: 2 ** 30, ...more })

test('a key is 32 random bytes with a checksum, and a mistyped one is told from a key', () => {
  const key = createApiKey()
  assert.match(key, /^lsk_[A-Za-z0-9_-]{49}$/)
  assert.notEqual(key, createApiKey())
  assert.ok(isApiKey(key))
  for (const wrong of [
    '',
    'lsk_',
    key.slice(1),
    `${key}A`,
    key.toUpperCase(),
    `${key.slice(0, 10)}${key[10] === 'A' ? 'B' : 'A'}${key.slice(11)}`,
  ])
    assert.equal(isApiKey(wrong), false, wrong)
})

test('the file holds nothing of which a key could be made, and only its owner reads it', () =>
  inFolder(async file => {
    const { key, record } = await addKey(file, ann)
    const text = await readFile(file, 'utf8')
    for (let start = 4; start + 12 <= key.length; start++)
      assert.equal(text.includes(key.slice(start, start + 12)), false)
    assert.equal(text.includes(hashApiKey(key, undefined)), true)
    assert.equal((await stat(file)).mode & 0o077, 0)
    assert.deepEqual(await readKeys(file), [record])
    const peppered = await addKey(file, ann, 'pepper')
    assert.equal(peppered.record.hash, hashApiKey(peppered.key, 'pepper'))
    assert.notEqual(peppered.record.hash, hashApiKey(peppered.key, undefined))
  }))

test('a ring finds the keys that are valid, and no others', () =>
  inFolder(async file => {
    let nowMs = Date.now()
    const { key, record } = await addKey(file, { ...ann, expiresAt: new Date(nowMs + 1_000).toISOString() })
    const other = createApiKey()
    const ring = await open(file, { now: () => nowMs })
    assert.equal(ring.find(key)?.id, record.id)
    for (const wrong of [other, key.toLowerCase(), ` ${key}`, record.hash, record.id, 'lsk_', ''])
      assert.equal(ring.find(wrong), undefined)
    nowMs += 1_000
    assert.equal(ring.find(key), undefined)
    assert.equal(ring.holds(record.id), false)
    await ring.close()
  }))

test('a revoked key ends with the next look at the file; what is broken changes nothing and is told once', () =>
  inFolder(async file => {
    const first = await addKey(file, ann)
    const second = await addKey(file, ann)
    const errors: unknown[] = []
    const ring = await open(file, { onError: (error: unknown) => errors.push(error) })
    await revokeKey(file, first.record.id)
    await ring.reload()
    assert.equal(ring.find(first.key), undefined)
    assert.equal(ring.find(second.key)?.id, second.record.id)
    await writeFile(file, '{"keys":[{"id":""}]}')
    await ring.reload()
    await ring.reload()
    assert.equal(ring.find(second.key)?.id, second.record.id)
    assert.equal(errors.length, 1)
    assert.match(String(errors[0]), /\/keys\/0 is no key/)
    await ring.close()
  }))

test('a rotated key goes on for the overlap, beside the new one, and never beyond its own end', () =>
  inFolder(async file => {
    let nowMs = Date.now()
    const endMs = nowMs + 5_000
    const first = await addKey(file, { ...ann, expiresAt: new Date(endMs).toISOString() })
    const second = await rotateKey(file, first.record.id, { overlapMs: 1_000 })
    const third = await rotateKey(file, second.record.id, { overlapMs: 86_400_000 })
    assert.equal(second.old.replacedBy, second.record.id)
    assert.equal(Date.parse(third.old.expiresAt!), endMs)
    assert.deepEqual([third.record.account, third.record.scopes], ['ann', ['people:read']])
    const ring = await open(file, { now: () => nowMs })
    assert.ok(ring.find(first.key) && ring.find(second.key) && ring.find(third.key))
    nowMs += 3_000
    assert.equal(ring.find(first.key), undefined)
    assert.ok(ring.find(third.key))
    await ring.close()
    await assert.rejects(rotateKey(file, 'k_none'), { code: 'not-found' })
    await revokeKey(file, third.record.id)
    await assert.rejects(rotateKey(file, third.record.id), { code: 'gone' })
  }))

test('when a key was last used is kept beside the file', () =>
  inFolder(async file => {
    const { key, record } = await addKey(file, ann)
    const ring = await open(file, { now: () => Date.parse('2026-01-31T00:00:00Z') })
    assert.deepEqual(await readLastUsed(file), {})
    ring.find(key)
    await ring.close()
    assert.deepEqual(await readLastUsed(file), { [record.id]: '2026-01-31T00:00:00.000Z' })
  }))

test('changes at the same time do not undo each other', () =>
  inFolder(async file => {
    const made = await Promise.all(Array.from({ length: 8 }, () => addKey(file, ann)))
    const ids = (await readKeys(file)).map(({ id }) => id)
    assert.deepEqual(ids.sort(), made.map(({ record }) => record.id).sort())
  }))

test('a key without a scope, with a strange name, or with no time as its end is refused', () =>
  inFolder(async file => {
    for (const wrong of [
      { scopes: [] },
      { scopes: ['people'] },
      { name: 'a\nb' },
      { account: '' },
      { expiresAt: 'soon' },
    ])
      await assert.rejects(addKey(file, { ...ann, ...wrong }), { code: 'invalid-option' })
    await assert.rejects(readKeys(file), { code: 'invalid-option', message: /no such file/ })
  }))
