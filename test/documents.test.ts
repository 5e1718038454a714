/** Holds the documents to their lengths, their links to files that exist, and the changelog to its form. */
import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import { root } from './source-tree.ts'

const folders = ['.', 'docs', 'examples', 'bench', 'test/cases']
const documents = folders
  .flatMap(folder => globSync(`${folder}/*.md`, { cwd: root }))
  .map(file => path.posix.normalize(file.split(path.sep).join('/')))
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8')

test('the documents that a project has are there, and the two that one reads first are short', () => {
  for (const file of [
    'README.md',
    'PROTOCOL.md',
    'ARCHITECTURE.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    'SECURITY.md',
  ]) {
    assert.ok(documents.includes(file), file)
  }
  for (const [file, limit] of [
    ['README.md', 150],
    ['ARCHITECTURE.md', 200],
  ] as const) {
    const lines = read(file).trimEnd().split('\n').length
    assert.ok(lines <= limit, `${file} has ${lines} lines; ${limit} are allowed`)
  }
})

test('each relative link leads to a file', () => {
  for (const file of documents) {
    for (const [, target] of read(file).matchAll(/\]\(([^)\s#]+)[^)]*\)/g)) {
      if (/^[a-z]+:/.test(target!)) continue
      assert.ok(existsSync(path.join(root, path.dirname(file), target!)), `${file} links to ${target}`)
    }
  }
})

test('each npm script that a document names exists', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  for (const file of documents) {
    for (const [, script] of read(file).matchAll(/\bnpm run (?:-s )?([\w:-]+)/g)) {
      assert.ok(Object.hasOwn(scripts, script!), `${file} names "npm run ${script}"`)
    }
  }
})

test('the changelog has the present version first, and its parts in order', () => {
  const parts = ['Upgrading', 'Added', 'Changed', 'Fixed', 'Security']
  const { version } = JSON.parse(read('package.json')) as { version: string }
  const sections = read('CHANGELOG.md').split(/^## /m).slice(1)
  assert.match(
    sections[0]!,
    new RegExp(`^${version.replaceAll('.', '\\.')} \\((unreleased|\\d{4}-\\d\\d-\\d\\d)\\)\n`),
  )
  for (const section of sections) {
    const found = [...section.matchAll(/^### (.+)$/gm)].map(match => match[1]!)
    assert.deepEqual(
      found,
      parts.filter(part => found.includes(part)),
      section.slice(0, 20),
    )
    assert.equal(found[0], 'Upgrading')
  }
})
