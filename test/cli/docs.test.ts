/** `lockstep docs`: pages, checks and types of documents in files. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import test, { after, before } from 'node:test'
import { describeAsyncApi } from '../../src/service/describe/async-api.ts'
import { describeOpenApi } from '../../src/service/describe/open-api.ts'
import { friends, people } from '../support/service.ts'

const root = path.resolve(import.meta.dirname, '../..')
const options = { resources: [people, friends] }
let folder = ''
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lockstep-docs-'))
  await write('openapi.json', describeOpenApi(options))
  await write('asyncapi.json', describeAsyncApi(options))
})
after(async () => await rm(folder, { recursive: true, force: true }))

async function write(name: string, value: unknown): Promise<void> {
  await writeFile(path.join(folder, name), typeof value === 'string' ? value : JSON.stringify(value))
}

function docs(...args: string[]): { status: number | null; out: string; err: string } {
  const program = path.join(root, 'src/cli/bin.ts')
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, 'docs', ...args], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 60_000,
  })
  return { status, out: stdout, err: stderr }
}

test('pages are written as HTML, and as Markdown', async () => {
  assert.equal(docs('build', 'openapi.json', 'asyncapi.json', '--out', 'site').status, 0)
  const names = await readdir(path.join(folder, 'site'))
  for (const name of ['index.html', 'people.html', 'docs.css', 'docs.js', 'openapi.json', 'asyncapi.json'])
    assert.ok(names.includes(name), name)
  assert.equal(docs('build', 'openapi.json', 'asyncapi.json', '--out', 'md', '--markdown').status, 0)
  assert.match(
    await readFile(path.join(folder, 'md', 'people.md'), 'utf8'),
    /<a id="people\.patch"><\/a>[\s\S]*PeopleModified/,
  )
})

test('a breaking change ends with 1, the same document with 0', async () => {
  const same = docs('check', 'openapi.json', '--against', 'openapi.json')
  assert.equal(same.status, 0, same.err)
  const later = describeOpenApi(options) as {
    paths: Record<string, Record<string, unknown>>
    components: { schemas: Record<string, { required: string[] }> }
  }
  delete later.paths['/people/{person}']!['delete']
  later.components.schemas['PeopleInput']!.required.push('age')
  await write('later.json', later)
  const { status, out } = docs('check', 'later.json', '--against', 'openapi.json', '--no-lint', '--json')
  assert.equal(status, 1)
  const { ok, findings } = JSON.parse(out)
  assert.equal(ok, false)
  assert.deepEqual([...new Set(findings.map((each: { rule: string }) => each.rule))].sort(), [
    'operation-removed',
    'request-member-became-required',
  ])
})

test('breaking changes of messages are found: topics, QoS, payloads', async () => {
  const later = JSON.parse(JSON.stringify(describeAsyncApi(options)))
  later.channels['people.item'].address = 'persons/{person}'
  later.operations['people.created'].bindings.mqtt.qos = 0
  later.components.schemas.People.properties.name = { type: 'integer' }
  delete later.channels['people.head']
  await write('later-async.json', later)
  const { status, out } = docs(
    'check',
    'later-async.json',
    '--against',
    'asyncapi.json',
    '--no-lint',
    '--json',
  )
  assert.equal(status, 1)
  const rules = new Set(JSON.parse(out).findings.map((each: { rule: string }) => each.rule))
  for (const rule of ['channel-address-changed', 'qos-lowered', 'response-type-changed', 'channel-removed'])
    assert.ok(rules.has(rule), rule)
})

test('types check with the compiler, for operations, messages and followers', async () => {
  assert.equal(docs('types', 'openapi.json', '--asyncapi', 'asyncapi.json', '--out', 'api.ts').status, 0)
  await write(
    'use.ts',
    `import { createClient, type Api, type Messages } from './api.ts'
const call = createClient({ api: 'http://127.0.0.1:1' })
const made = await call('people.create', { body: { name: 'Ann' } })
if (made.status === 201) { const age: number | undefined = made.body.age; void age }
// @ts-expect-error the name is missing
await call('people.create', { body: { age: 1 } })
// @ts-expect-error there is no such operation
await call('people.none', {})
const person: Api['people'] = { id: 'ann', name: 'Ann' }
const friend: Api['people/{person}/friends'] = { id: 'x' }
const told = {} as Messages['people/{person}']
if (told.event === 'modified') void told.changes
void [person, friend]
`,
  )
  const flags = [
    '--noEmit',
    '--strict',
    '--target',
    'es2024',
    '--module',
    'esnext',
    '--moduleResolution',
    'bundler',
    '--allowImportingTsExtensions',
    '--erasableSyntaxOnly',
    '--lib',
    'es2024,dom,dom.iterable',
    '--types',
    '',
  ]
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc')
  const { status, stdout } = spawnSync(process.execPath, [tsc, ...flags, path.join(folder, 'use.ts')], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 100_000,
  })
  assert.equal(status, 0, stdout)
})

test('what cannot be written is said in a sentence', () => {
  for (const [command, out] of [
    ['build', 'asyncapi.json'],
    ['types', 'none/api.ts'],
  ] as const) {
    const { status, err } = docs(command, 'openapi.json', '--out', out)
    assert.equal(status, 1)
    assert.match(err, new RegExp(`^lockstep: ${out} cannot be written: .*\\. Give another --out\\.`))
  }
})

test('what cannot be read is said in a sentence', () => {
  const { status, err } = docs('check', 'none.json')
  assert.equal(status, 1)
  assert.match(err, /There is no file "none\.json"/)
})
