/**
 * Pins what each subpath exports, so that adding, renaming or losing an export is a decision.
 *
 * After a change on purpose: `UPDATE_PINS=1 npm test -- test/exports.test.ts`, and read the difference.
 */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import { readSource, root } from './source-tree.ts'

const pinFile = new URL('./exports.json', import.meta.url)
const { exports: entries } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
  exports: Record<string, string>
}

test('each subpath exports exactly what is pinned, types included', () => {
  const found = Object.fromEntries(
    Object.entries(entries)
      .filter(([, file]) => file.endsWith('.ts'))
      .map(([name, file]) => [name, exportsOf(path.posix.normalize(file)).sort()]),
  )
  if (process.env['UPDATE_PINS'] === '1') writeFileSync(pinFile, `${JSON.stringify(found, null, 2)}\n`)
  const pinned: unknown = JSON.parse(readFileSync(pinFile, 'utf8'))
  assert.deepEqual(found, pinned, 'the exports changed; see the head of this file')
})

test('the pins are what a program gets at run time', async () => {
  for (const [name, file] of Object.entries(entries)) {
    if (!file.endsWith('.ts')) continue
    const loaded = (await import(`lockstep${name.slice(1)}`)) as object
    const values = exportsOf(path.posix.normalize(file)).filter(text => !text.startsWith('type '))
    assert.deepEqual(values.sort(), Object.keys(loaded).sort(), name)
  }
})

/** The names that a file exports, also from other files; types and interfaces as `type Name`. */
function exportsOf(file: string): string[] {
  const { text, imports } = readSource(file)
  const names: string[] = []
  for (const [, kind, name] of text.matchAll(
    /^export (?:declare |abstract |async )*(type|interface|class|function\*?|const|let) (\w+)/gm,
  )) {
    names.push(kind === 'type' || kind === 'interface' ? `type ${name}` : name!)
  }
  for (const [, type, list] of text.matchAll(/^export (type )?\{([^}]*)\}/gm)) {
    for (const item of list!.split(',').map(part => part.trim())) {
      if (item === '') continue
      const name = item.replace(/^type /, '').replace(/^\w+ as /, '')
      names.push(type !== undefined || item.startsWith('type ') ? `type ${name}` : name)
    }
  }
  for (const [, specifier] of text.matchAll(/^export (?:type )?\* from '([^']+)'/gm)) {
    const target = path.posix.join(path.posix.dirname(file), specifier!)
    assert.ok(imports.includes(target))
    names.push(...exportsOf(target))
  }
  return [...new Set(names)]
}
