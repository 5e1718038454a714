/** What `lockstep serve` says where file, folder, database or port are not as they should be: name, reason, next step. */
import assert from 'node:assert/strict'
import { chmod, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { LockstepError } from 'lockstep/contract'
import { withOption } from '../../src/cli/serve-ports.ts'
import { type Program, runProgram, startProgram, temporaryFolder } from './program.ts'

const anyPorts = ['--port', '0', '--mqtt-port', '0']
const isRoot = process.getuid?.() === 0

async function serve(t: TestContext, cwd: string, ...args: string[]): Promise<Program> {
  const program = startProgram(t, ['serve', 'db.json', ...anyPorts, ...args], { cwd })
  await program.printed(/Ctrl-C stops it/)
  return program
}

/** A folder in which db.json has been served. */
async function servedFolder(t: TestContext): Promise<{ folder: string; data: string }> {
  const folder = await temporaryFolder(t, { 'db.json': '{"posts":[{"id":"1"}]}' })
  assert.equal(await (await serve(t, folder)).stop(), 0)
  return { folder, data: join(folder, '.lockstep', 'db.json') }
}

async function overwrite(file: string, from: number): Promise<void> {
  const bytes = await readFile(file)
  await writeFile(file, bytes.fill(0xaa, from))
}

test('a damaged database is said with its name, the reason and what to do; --reset does it', async t => {
  const { folder, data } = await servedFolder(t)
  const whole = await readFile(join(data, 'lockstep.db'))
  for (const [from, reason] of [
    [8_192, 'malformed'],
    [0, 'not a database'],
  ] as const) {
    await writeFile(join(data, 'lockstep.db'), whole)
    await overwrite(join(data, 'lockstep.db'), from)
    const { code, stderr } = await runProgram(t, ['serve', 'db.json', ...anyPorts], { cwd: folder })
    assert.equal(code, 1)
    assert.match(
      stderr,
      new RegExp(`^lockstep: \\S+/lockstep\\.db is damaged: .*${reason}.*backup.*--reset.*\n$`, 'm'),
    )
    assert.doesNotMatch(stderr, /in the log of the service/)
  }
  const served = await serve(t, folder, '--reset')
  await served.printed(/posts .* new, 1 row/)
})

test('a damaged record of first rows is called damaged, and --reset works', async t => {
  const { folder, data } = await servedFolder(t)
  for (const text of ['', 'null', '{"collections":']) {
    await writeFile(join(data, 'first-rows.json'), text)
    const { code, stderr } = await runProgram(t, ['serve', 'db.json', ...anyPorts], { cwd: folder })
    assert.equal(code, 1)
    assert.match(stderr, /^lockstep: \S+first-rows\.json is damaged.*--reset/)
  }
  const served = await serve(t, folder, '--reset')
  await served.printed(/posts .* new, 1 row/)
})

test("a file of the name of the record that is somebody else's is neither overwritten nor deleted", async t => {
  const folder = await temporaryFolder(t, { 'first-rows.json': '{"posts":[]}' })
  for (const reset of [[], ['--reset']]) {
    const args = ['serve', 'first-rows.json', '--data', '.', ...anyPorts, ...reset]
    const { code } = await runProgram(t, args, { cwd: folder })
    assert.equal(code, 1)
    assert.equal(await readFile(join(folder, 'first-rows.json'), 'utf8'), '{"posts":[]}')
    assert.deepEqual(await readdir(folder), ['first-rows.json'])
  }
})

test('a data folder that cannot be made is said with the option that chooses another', async t => {
  const folder = await temporaryFolder(t, { 'db.json': '{"posts":[]}', file: '' })
  await mkdir(join(folder, 'mine'))
  await chmod(join(folder, 'mine'), 0o500)
  const cases: (readonly [data: string, reason: RegExp])[] = [
    ['file', /a file is in the place of a folder/],
    ['file/below', /a file is in the place of a folder/],
  ]
  // Node never comes back from making a folder there with `recursive`.
  if (process.platform === 'linux')
    cases.push(['/proc/lockstep/data', /it is not there, and cannot be made there/])
  if (!isRoot) cases.push(['mine/data', /no right/])
  for (const [data, reason] of cases) {
    const { code, stderr } = await runProgram(t, ['serve', 'db.json', '--data', data, ...anyPorts], {
      cwd: folder,
    })
    assert.equal(code, 1)
    assert.match(stderr, /^lockstep: The data folder \S+ cannot be used: .* --data.*--memory\.\n$/)
    assert.match(stderr, reason)
    assert.doesNotMatch(stderr, /E[A-Z]{4,}/)
  }
})

test('a file that cannot be read, or not as UTF-8, is said with its reason', async t => {
  const folder = await temporaryFolder(t, { 'db.json': '{}' })
  await mkdir(join(folder, 'folder.json'))
  await writeFile(join(folder, 'utf16.json'), '{"posts":[]}', 'utf16le')
  await writeFile(join(folder, 'marked.json'), '\ufeff{"posts":[]}', 'utf16le')
  await writeFile(join(folder, 'latin1.yaml'), '# 1\nposts:\n  - name: J\u00fcrgen\n', 'latin1')
  await writeFile(join(folder, 'odd.json'), '{}')
  await chmod(join(folder, 'odd.json'), 0)
  const cases: (readonly [name: string, said: RegExp])[] = [
    ['folder.json', /folder\.json is a folder\. Give the path of a file\./],
    ['utf16.json', /utf16\.json cannot be read: it is encoded in UTF-16\. Save it as UTF-8\./],
    ['marked.json', /encoded in UTF-16/],
    ['latin1.yaml', /latin1\.yaml cannot be read: line 3 is not UTF-8/],
    ['none.json', /There is no file \S+none\.json\./],
  ]
  if (!isRoot) cases.push(['odd.json', /odd\.json cannot be read: this user has no right to it/])
  for (const [name, said] of cases) {
    const { code, stderr } = await runProgram(t, ['serve', name, ...anyPorts], { cwd: folder })
    assert.equal(code, 1)
    assert.match(stderr, said)
  }
})

test('a file that is replaced by a folder is said once, and what runs goes on', async t => {
  const folder = await temporaryFolder(t, { 'db.json': '{"posts":[]}' })
  const served = await serve(t, folder, '--memory')
  await rm(join(folder, 'db.json'))
  await mkdir(join(folder, 'db.json'))
  await served.printed(/lockstep: \S+db\.json is a folder\. .*What runs goes on as before\./)
  await rename(join(folder, 'db.json'), join(folder, 'folder'))
  await writeFile(join(folder, 'db.json'), '{"posts":[],"tags":[]}')
  await served.printed(/tags: new/)
  assert.equal(served.stderr.split('is a folder').length, 2, served.stderr)
})

test('a setting waits for the next start only where it differs from what runs', async t => {
  const folder = await temporaryFolder(t, { 'db.json': '{"resources":{"posts":{}},"topicPrefix":"a"}' })
  const served = await serve(t, folder, '--memory', '--root', '/api')
  const write = (settings: object): Promise<void> =>
    writeFile(join(folder, 'db.json'), JSON.stringify({ resources: { posts: {} }, ...settings }))
  await write({ topicPrefix: 'b', root: '/v2', host: '127.0.0.1' })
  await served.printedNext(/was read again\.\n {2}topicPrefix: takes effect at the next start\n/)
  await write({ topicPrefix: 'a/' })
  await served.printedNext(/was read again: nothing that is served changed\./)
  assert.doesNotMatch(served.stdout, /(root|host): takes effect/)
})

test('a port that only the administrator may use is said with the option that chooses another', () => {
  const cause = Object.assign(new Error('listen EACCES'), { code: 'EACCES' })
  const error = new LockstepError(
    'invalid-option',
    'The server cannot listen at "127.0.0.1" port 80 (EACCES).',
    { cause },
  )
  assert.match(
    String(withOption(error, 'with --port.')),
    /port 80 .*administrator: choose another one with --port\.$/,
  )
})

test('an address that is none of this machine is said with --host', async t => {
  const folder = await temporaryFolder(t, { 'db.json': '{"posts":[]}' })
  const args = ['serve', 'db.json', '--memory', '--host', '192.0.2.1', ...anyPorts]
  const { code, stderr } = await runProgram(t, args, { cwd: folder })
  assert.equal(code, 1)
  assert.match(stderr, /^lockstep: .*"192\.0\.2\.1" .*--host chooses the address\.\n$/)
})

test('where others than this machine reach it, that is said, as far as they can go', async t => {
  const folder = await temporaryFolder(t, { 'db.json': '{"posts":[]}' })
  const open = await serve(t, folder, '--memory', '--host', '0.0.0.0')
  await open.printed(/no login: whoever reaches this machine, at any of its addresses, can read and write;/)
  const closed = await serve(t, folder, '--memory', '--host', '0.0.0.0', '--read-only')
  await closed.printed(/can read everything\./)
})
