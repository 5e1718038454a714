/** `lockstep keys`: what is printed, kept and refused. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { runProgram, temporaryFolder } from './program.ts'

test('lockstep keys makes a key that is shown once, lists, rotates and revokes it', async t => {
  const cwd = await temporaryFolder(t, {})
  const run = async (...args: string[]): Promise<{ stdout: string; stderr: string }> => {
    const { code, stdout, stderr } = await runProgram(t, ['keys', ...args], { cwd })
    assert.equal(code, 0, stderr)
    return { stdout, stderr }
  }
  const created = await run('create', 'web', '--plan', 'free', '--scope', 'people:read', '--expires', '90d')
  const key = created.stdout.trim()
  assert.match(key, /^lsk_[A-Za-z0-9_-]{49}$/)
  assert.equal(created.stderr.includes(key), false)
  assert.equal((await readFile(join(cwd, 'keys.json'), 'utf8')).includes(key.slice(4, 20)), false)
  const list = await run('list')
  const [, id] =
    /^(k_[0-9a-f]{16}) {2}web {2}web {2}free {2}people:read {2}valid until .+ used never\n$/.exec(
      list.stdout,
    )!
  const rotated = JSON.parse((await run('rotate', id!, '--overlap', '0s', '--json')).stdout)
  assert.notEqual(rotated.key, key)
  assert.equal(rotated.hash, undefined)
  await run('revoke', rotated.id)
  const lines = (await run('list', '--json')).stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
  assert.deepEqual(
    lines.map(({ valid }) => valid),
    [false, false],
  )
  assert.equal(
    lines.some(line => 'hash' in line || 'key' in line),
    false,
  )
})

test('lockstep keys says in words what is wrong', async t => {
  const cwd = await temporaryFolder(t, {})
  const calls: readonly (readonly [args: readonly string[], code: number, said: RegExp])[] = [
    [['list'], 1, /keys.json.*there is no such file; lockstep keys create makes it/],
    [['create', 'web', '--scope', 'x:read'], 2, /--plan/],
    [['create', 'web', '--plan', 'free', '--scope', 'everything'], 1, /"everything" is no scope/],
    [['create', 'web', '--plan', 'free', '--scope', 'a:read', '--expires', 'soon'], 2, /such as 90d/],
    [['revoke', 'k_1'], 1, /no key "k_1"/],
  ]
  for (const [args, code, said] of calls) {
    const result = await runProgram(t, ['keys', ...args], { cwd })
    assert.equal(result.code, code, args.join(' '))
    assert.match(result.stderr, said)
    assert.equal(result.stdout, '')
  }
})
