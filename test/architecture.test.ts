/** Holds the layout of CONTRIBUTING.md: who imports whom, and what files look like. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import { readSources, root, type SourceFile } from './source-tree.ts'

/** Which parts a part may import. A part that is missing here is not part of the plan yet. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  contract: [],
  broker: ['contract'],
  log: ['contract'],
  observe: ['contract'],
  /** These give `observe` to their users: whoever has one of them can watch it. */
  service: ['contract', 'broker', 'log', 'observe'],
  client: ['contract', 'broker', 'observe'],
  live: ['contract', 'broker', 'observe'],
  upstream: ['contract'],
  gateway: ['contract', 'upstream'],
  /** What it mirrors it serves as any service does: feed, reads, relay, documents. */
  sidecar: ['contract', 'broker', 'log', 'upstream', 'service'],
  /** Judges all others, so that it shares none of their readers. */
  check: ['contract', 'broker'],
  /** It observes as the sidecar does, in the application's own process. */
  middleware: ['contract', 'broker', 'log', 'service', 'sidecar'],
  topics: ['contract', 'broker'],
  /** Imports the others as users do, by the package's name. */
  cli: [],
}
/** The one file through which the other parts see a part: the contract, or the port. */
const doors: Readonly<Record<string, string>> = {
  contract: 'src/contract/index.ts',
  broker: 'src/broker/broker.ts',
  log: 'src/log/change-log.ts',
  observe: 'src/observe/index.ts',
  upstream: 'src/upstream/index.ts',
  service: 'src/service/index.ts',
  sidecar: 'src/sidecar/observing.ts',
}
/** A file beside the door, for who records what others own. */
const sideDoors: readonly string[] = ['src/log/record-in.ts']
/** An adapter that a part loads on its first use, never before: where the application gives a URL. */
const loadedOnUse: Readonly<Record<string, string>> = { client: 'src/broker/mqtt.ts' }
/** Files that belong to one adapter begin with its name. */
const adapters: Readonly<Record<string, readonly string[]>> = {
  broker: ['memory', 'embedded', 'mqtt'],
  log: ['memory', 'sqlite', 'postgres'],
  service: ['fetch', 'node'],
  live: ['mqtt', 'sse', 'websocket', 'event'],
}
const maxFileLines = 400
const forbiddenNames = /^(utils?|helpers?|commons?|types?|constants?|manager|misc|shared)\b/

const sources = readSources('src')

test('the source tree is read with its imports', () => {
  assert.ok(sources.length >= 10)
  const json = sources.find(source => source.path === 'src/contract/json.ts')
  assert.deepEqual(json?.imports, ['src/contract/error.ts'])
})

test('a part imports only the parts below it, and only through their door', () => {
  const faults = edges(sources).flatMap(({ from, to }) => {
    const part = partOf(to)
    const allowed = mayImport[from.part]
    if (allowed === undefined) return [`${from.path}: the part ${from.part} is not in the table of this test`]
    if (part === from.part) return []
    if (!allowed.includes(part)) return [`${from.path} imports ${to}: ${from.part} may not know ${part}`]
    if (loadedOnUse[from.part] === to && !from.text.includes(`/${path.basename(to)}'\n`)) return []
    return doors[part] === to || sideDoors.includes(to)
      ? []
      : [`${from.path} imports ${to}: go through ${doors[part]}`]
  })
  assert.deepEqual(faults, [])
})

test('no file imports the index.ts of its own part', () => {
  const faults = edges(sources).filter(({ from, to }) => to === `src/${from.part}/index.ts`)
  assert.deepEqual(
    faults.map(({ from, to }) => `${from.path} imports ${to}`),
    [],
  )
})

test('the contract is pure: no modules from outside, no clock, no randomness, no process', () => {
  for (const { path, part, text, imports } of sources) {
    if (part !== 'contract') continue
    assert.deepEqual(
      imports.filter(name => !name.startsWith('src/')),
      [],
      path,
    )
    assert.doesNotMatch(
      text,
      /\b(Date|Math\.random|performance|crypto|process|Buffer|setTimeout|fetch)\b[.(]/,
      path,
    )
  }
})

test('adapters do not import adapters', () => {
  const faults = edges(sources).filter(({ from, to }) => {
    const [own, other] = [adapterOf(from.path), adapterOf(to)]
    return own !== undefined && other !== undefined && own !== other
  })
  assert.deepEqual(
    faults.map(({ from, to }) => `${from.path} imports ${to}`),
    [],
  )
})

test('imports form no cycle, type imports included', () => {
  const graph = new Map(sources.map(source => [source.path, source.imports]))
  const finished = new Set<string>()
  const visit = (file: string, trail: readonly string[]): void => {
    if (trail.includes(file)) assert.fail(`cycle: ${[...trail.slice(trail.indexOf(file)), file].join(' → ')}`)
    if (finished.has(file)) return
    for (const next of graph.get(file) ?? []) visit(next, [...trail, file])
    finished.add(file)
  }
  for (const file of graph.keys()) visit(file, [])
})

test('each relative import names a file that exists, with its extension', () => {
  for (const { from, to } of edges(sources)) {
    assert.ok(/\.(ts|json)$/.test(to) && existsSync(path.join(root, to)), `${from.path} imports ${to}`)
  }
})

test('sources do not import the package by its name; the command line, examples and benchmarks do so only', () => {
  for (const { path, part, imports } of sources) {
    if (part === 'cli') continue
    assert.deepEqual(
      imports.filter(name => /^lockstep\b/.test(name)),
      [],
      path,
    )
  }
  for (const { path, imports } of [...readSources('examples'), ...readSources('bench')]) {
    assert.deepEqual(
      imports.filter(name => /^(src|test|scripts)\//.test(name)),
      [],
      path,
    )
  }
})

test('each package that is imported is declared, and each that is declared is imported', () => {
  const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as Record<string, object>
  const declared = { ...manifest['dependencies'], ...manifest['peerDependencies'] }
  const imported = sources
    .flatMap(source => source.imports)
    .filter(name => !/^(src\/|node:|lockstep\/)/.test(name))
    .map(name => name.split('/', name.startsWith('@') ? 2 : 1).join('/'))
  assert.deepEqual([...new Set(imported)].sort(), Object.keys(declared).sort())
})

test('files are short, named after one noun in kebab-case, and export by name', () => {
  for (const { path: file, text } of sources) {
    const name = path.basename(file, '.ts')
    assert.match(name, /^[a-z0-9]+(-[a-z0-9]+)*$/, file)
    assert.doesNotMatch(name, forbiddenNames, `${file}: say what is in it`)
    assert.doesNotMatch(text, /^export default|\bas default\b/m, file)
    const lines = text.split('\n').length - 1
    assert.ok(lines <= maxFileLines, `${file} has ${lines} lines; ${maxFileLines} are allowed`)
    assert.match(text, /^(#!.*\n)?\/\*\*/, `${file} does not begin with a module doc`)
  }
})

function edges(files: readonly SourceFile[]): { from: SourceFile; to: string }[] {
  return files.flatMap(from => from.imports.filter(name => name.startsWith('src/')).map(to => ({ from, to })))
}

function partOf(file: string): string {
  return file.split('/')[1]!
}

function adapterOf(file: string): string | undefined {
  const name = path.basename(file)
  const adapter = adapters[partOf(file)]?.find(prefix => name.startsWith(prefix))
  return adapter === undefined ? undefined : `${partOf(file)}/${adapter}`
}
