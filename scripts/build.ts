/**
 * Builds the package that users install: `npm run build`, then `npm publish ./dist`.
 *
 * `dist/` is the package: JavaScript and declarations from src/, the documents, and a package.json of its own,
 * reduced to what users need. The root is private, so that it cannot be published by mistake.
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'

const root = path.dirname(import.meta.dirname)
const dist = path.resolve(root, process.argv[2] ?? 'dist')
const documents = ['README.md', 'PROTOCOL.md', 'ARCHITECTURE.md', 'SECURITY.md', 'CHANGELOG.md', 'LICENSE']
/** What of the root's package.json is meant for users. */
const published = [
  'name',
  'version',
  'description',
  'keywords',
  'license',
  'type',
  'engines',
  'sideEffects',
  'peerDependencies',
  'peerDependenciesMeta',
]

rmSync(dist, { recursive: true, force: true })
const tsc = [
  path.join(root, 'node_modules/typescript/bin/tsc'),
  '-p',
  'tsconfig.build.json',
  '--outDir',
  dist,
]
const { status } = spawnSync(process.execPath, tsc, { cwd: root, stdio: 'inherit' })
if (status !== 0) {
  console.error('build: the types do not check (see above).')
  process.exit(1)
}
writeFileSync(path.join(dist, 'package.json'), `${JSON.stringify(reduceManifest(), null, 2)}\n`)
for (const document of documents) {
  if (existsSync(path.join(root, document)))
    copyFileSync(path.join(root, document), path.join(dist, document))
  else console.warn(`There is no ${document}: the package goes without it.`)
}
cpSync(path.join(root, 'docs'), path.join(dist, 'docs'), { recursive: true })

function reduceManifest(): Record<string, unknown> {
  const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as Record<
    string,
    unknown
  >
  const entries = Object.entries(manifest['exports'] as Record<string, string>)
  const bins = Object.entries(manifest['bin'] as Record<string, string>)
  return {
    ...Object.fromEntries(published.filter(name => name in manifest).map(name => [name, manifest[name]])),
    // We test with exactly what package.json pins; users may take later fixes of the same major version.
    dependencies: Object.fromEntries(
      Object.entries(manifest['dependencies'] as Record<string, string>).map(([name, version]) => [
        name,
        `^${version}`,
      ]),
    ),
    bin: Object.fromEntries(bins.map(([name, source]) => [name, builtFile(source)])),
    exports: Object.fromEntries(entries.map(([name, source]) => [name, builtEntry(source)])),
  }
}

/** `./src/log/index.ts` → what tsc made of it. */
function builtEntry(source: string): string | { types: string; default: string } {
  if (!source.endsWith('.ts')) return source
  const built = builtFile(source)
  return { types: built.replace(/\.js$/, '.d.ts'), default: built }
}

function builtFile(source: string): string {
  return source.replace(/^\.\/src\//, './').replace(/\.ts$/, '.js')
}
