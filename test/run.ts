/**
 * Runs the tests: `npm test`, or `npm test -- test/log test/client/follower.test.ts`.
 *
 * Each file runs in a process of its own. Arguments are files, folders or glob patterns. A run in which nothing
 * ran fails, and so does one with a skipped test where `CI=true`: what was not tested is said, never hidden.
 */
import { globSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { run } from 'node:test'
import { spec, type TestEvent } from 'node:test/reporters'

/** How long one test may take. */
const testTimeoutMs = 120_000
/** How long everything may take. */
const runTimeoutMs = 30 * 60_000

const root = path.dirname(import.meta.dirname)
const files = findTestFiles(process.argv.slice(2))
if (files.length === 0) {
  console.error(`No test file matches ${process.argv.slice(2).join(' ')}. Tests are named test/**/*.test.ts.`)
  process.exit(1)
}

const isCi = process.env['CI'] === 'true'
/** Hundreds of processes load the same sources: what one has compiled the next ones take. */
process.env['NODE_COMPILE_CACHE'] ??= path.join(root, 'node_modules', '.cache', 'compiled')
const skipped: string[] = []
/** What a program that is tested does not offer; its reason begins with "cannot: ". */
const notOffered: string[] = []
const empty: string[] = []
let success = false
let testCount = 0

const events = run({
  files,
  cwd: root,
  concurrency: Math.min(availableParallelism(), files.length),
  timeout: testTimeoutMs,
  signal: AbortSignal.timeout(runTimeoutMs),
  execArgv: [
    `--import=${new URL('./leak-guard.ts', import.meta.url)}`,
    '--disable-warning=ExperimentalWarning',
  ],
})

await pipeline(collect(events), new spec(), process.stdout, { end: false })
if (!isSuccess()) process.exitCode = 1

/** Takes down what the exit code depends on, and puts the notes before Node's own closing lines. */
async function* collect(source: AsyncIterable<TestEvent>): AsyncGenerator<TestEvent> {
  for await (const event of source) {
    const { type, data } = event
    if (type === 'test:pass') {
      // Node reports a file without tests as one test with the file's name.
      if (data.file !== undefined && data.name === data.file) empty.push(relative(data.file))
      if (data.skip) {
        const reason = reasonOf(data.skip)
        const list = reason.startsWith('cannot: ') ? notOffered : skipped
        list.push(`${relative(data.file)}:${data.line} ${data.name}: ${reason}`)
      }
    } else if (type === 'test:summary' && data.file === undefined) {
      testCount = data.counts.tests
      success = data.success
    } else if (type === 'test:diagnostic' && data.nesting === 0 && /^tests \d+$/.test(data.message)) {
      yield { type: 'test:stdout', data: { file: '', message: formatNotes() } } as TestEvent
    }
    yield event
  }
}

function formatNotes(): string {
  const lines: string[] = []
  if (notOffered.length > 0) lines.push('Not offered:', ...notOffered.map(line => `  ${line}`))
  if (skipped.length > 0) lines.push('Skipped:', ...skipped.map(line => `  ${line}`))
  if (skipped.length > 0 && isCi) lines.push('Where CI=true a skipped test fails the run.')
  if (empty.length > 0)
    lines.push('Files without a test, which fail the run:', ...empty.map(line => `  ${line}`))
  return lines.map(line => `${line}\n`).join('')
}

function isSuccess(): boolean {
  return success && testCount > 0 && empty.length === 0 && !(isCi && skipped.length > 0)
}

function reasonOf(skip: string | boolean): string {
  return typeof skip === 'string' && skip !== '' ? skip : 'no reason given'
}

function relative(file: string | undefined): string {
  return file === undefined ? '' : path.relative(root, file)
}

/** The test files that the arguments name; every test file where there are none. */
function findTestFiles(names: readonly string[]): string[] {
  const patterns = names.length === 0 ? ['test'] : names
  const found = patterns.flatMap(pattern => {
    const isFolder = statSync(path.resolve(root, pattern), { throwIfNoEntry: false })?.isDirectory()
    return globSync(isFolder ? `${pattern.replace(/\/+$/, '')}/**/*.test.ts` : pattern, { cwd: root })
  })
  // Programs that tests need lie below test/ too, with tests of their own.
  const own = found.filter(file => !file.includes('node_modules'))
  return [...new Set(own.map(file => path.resolve(root, file)))].sort()
}
