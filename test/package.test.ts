/** Packs the package as users get it, and uses it from outside: JavaScript that runs, types that check. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import test, { after, before } from 'node:test'
import { promisify } from 'node:util'
import { root } from './source-tree.ts'

interface Manifest {
  readonly private?: boolean
  readonly exports: Readonly<Record<string, string | { types: string; default: string }>>
  readonly dependencies: Readonly<Record<string, string>>
  readonly bin: Readonly<Record<string, string>>
  readonly [other: string]: unknown
}

const runFile = promisify(execFile)
const own = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as Manifest
const entries = Object.keys(own.exports).filter(name => name !== './package.json')

let folder: string
let packed: readonly string[]
let staged: Manifest

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lockstep-package-'))
  const stage = path.join(folder, 'stage')
  await runFile(process.execPath, [path.join(root, 'scripts/build.ts'), stage]).catch(error => {
    throw new Error(`The package cannot be built:\n${error.stdout}`)
  })
  const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder, stage]
  const { stdout } = await runFile('npm', pack, { cwd: folder, shell: process.platform === 'win32' })
  const [report] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }]
  packed = report.files.map(file => file.path)

  const modules = path.join(folder, 'node_modules')
  const home = path.join(modules, 'lockstep')
  await mkdir(home, { recursive: true })
  await runFile('tar', ['-xzf', path.join(folder, report.filename), '-C', home, '--strip-components=1'])
  staged = JSON.parse(await readFile(path.join(home, 'package.json'), 'utf8')) as Manifest
  for (const name of [...Object.keys(staged.dependencies), '@types/node']) {
    await mkdir(path.dirname(path.join(modules, name)), { recursive: true })
    await symlink(path.join(root, 'node_modules', name), path.join(modules, name), 'junction')
  }
})
after(() => rm(folder, { recursive: true, force: true }))

test('the root cannot be published; the staged package can, and says nothing that only the project needs', () => {
  assert.equal(own.private, true)
  for (const name of ['private', 'scripts', 'devDependencies', 'optionalDependencies']) {
    assert.ok(!(name in staged), `the staged package.json has "${name}"`)
  }
  assert.equal(staged['version'], own['version'])
  assert.deepEqual(Object.keys(staged.exports), Object.keys(own.exports))
})

test('the tarball holds JavaScript, declarations and documents, and each export is in it', () => {
  assert.deepEqual(
    packed.filter(file => !/(\.js|\.d\.ts|\.md|^LICENSE|^package\.json)$/.test(file)),
    [],
  )
  for (const entry of entries) {
    const target = staged.exports[entry]
    assert.ok(typeof target === 'object')
    for (const file of Object.values(target)) assert.ok(packed.includes(file.slice(2)), `${entry}: ${file}`)
  }
})

test('a JavaScript program imports every subpath and uses it', async () => {
  const lines = entries.map((entry, i) => `import * as m${i} from 'lockstep${entry.slice(1)}'`)
  const program = `${lines.join('\n')}
    import assert from 'node:assert/strict'
    for (const part of [${entries.map((_, i) => `m${i}`).join(', ')}]) assert.ok(Object.keys(part).length > 0)
    import { parsePath } from 'lockstep/contract'
    import { createMemoryHub } from 'lockstep/broker'
    import { createMemoryLog } from 'lockstep/log'
    import { defineResource, openService } from 'lockstep/service'
    assert.equal(parsePath('/people/john@home').path, '/people/john%40home')
    const broker = createMemoryHub().connect()
    const heard = Promise.withResolvers()
    await broker.subscribe(['people'], heard.resolve)
    const resources = [defineResource('people', { schema: { type: 'object' } })]
    const service = await openService({ resources, log: createMemoryLog(), broker })
    const headers = { 'content-type': 'application/json' }
    const request = new Request('http://test/people', { method: 'POST', body: '{"id":"1"}', headers })
    assert.equal((await service.fetch(request)).status, 201)
    assert.equal(JSON.parse((await heard.promise).payload).resource, '/people/1')
    await service.close()
    console.log('used')`
  await writeFile(path.join(folder, 'program.js'), program)
  await writeFile(path.join(folder, 'package.json'), '{ "type": "module" }')
  const env = { ...process.env, NODE_OPTIONS: '' }
  const { stdout, stderr } = await runFile(process.execPath, ['program.js'], { cwd: folder, env })
  assert.equal(stdout, 'used\n')
  assert.equal(stderr, '')
})

test('the program lockstep runs from the package, and turns an old Node away in words', async () => {
  const bin = path.join(folder, 'node_modules/lockstep', staged.bin['lockstep']!)
  assert.match(await readFile(bin, 'utf8'), /^#!\/usr\/bin\/env node\n/)
  const env = { ...process.env, NODE_OPTIONS: '' }
  const { stdout, stderr } = await runFile(process.execPath, [bin, '--version'], { cwd: folder, env })
  assert.equal(stdout, `${own['version']}\n`)
  assert.equal(stderr, '')
  const old = `Object.defineProperty(process.versions, 'node', { value: '20.0.0' })`
  await writeFile(path.join(folder, 'old-node.js'), old)
  const failure = runFile(process.execPath, ['--import', './old-node.js', bin, '--version'], {
    cwd: folder,
    env,
  })
  await assert.rejects(failure, { code: 1, stdout: '', stderr: /^lockstep needs Node 24 or later/ })
})

test('a TypeScript program checks against the declarations, and its mistakes are found', async () => {
  const lines = entries.map((entry, i) => `import * as m${i} from 'lockstep${entry.slice(1)}'`)
  const program = `${lines.join('\n')}
    import { type Message, parseMessage, type Position } from 'lockstep/contract'
    export const parts: readonly object[] = [${entries.map((_, i) => `m${i}`).join(', ')}]
    export const position: Position = { stream: 'people', epoch: 'k3f9', seq: 1 }
    export const message: Message | undefined = parseMessage('{}')
    // @ts-expect-error: a position is no text
    export const wrong: Position = 'people:k3f9:1'`
  await writeFile(path.join(folder, 'program.ts'), program)
  const options = [
    '--strict',
    '--noEmit',
    '--module',
    'nodenext',
    '--target',
    'es2024',
    '--lib',
    'es2024,esnext.disposable,dom',
  ]
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc')
  const args = [tsc, ...options, '--types', 'node', '--skipLibCheck', 'program.ts']
  await runFile(process.execPath, args, { cwd: folder }).catch(error => assert.fail(error.stdout))
})
