/** What all commands have in common: help, version, exit codes, mistakes said in words, a reader that goes away. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { declareAcl } from '../../src/cli/acl.ts'
import { declareDoctor } from '../../src/cli/doctor.ts'
import { declareFollow } from '../../src/cli/follow.ts'
import { declareServe } from '../../src/cli/serve.ts'
import { declareTail } from '../../src/cli/tail.ts'
import { runProgram, temporaryFolder } from './program.ts'

const bin = fileURLToPath(new URL('../../src/cli/bin.ts', import.meta.url))

test('--version is that of the package, --help lists the commands, both with exit code 0', async t => {
  const manifest = new URL('../../package.json', import.meta.url)
  const { version } = JSON.parse(await readFile(manifest, 'utf8')) as { version: string }
  assert.deepEqual(await runProgram(t, ['--version']), { code: 0, stdout: `${version}\n`, stderr: '' })
  const { code, stdout } = await runProgram(t, ['--help'])
  assert.equal(code, 0)
  for (const command of ['serve', 'follow', 'tail', 'doctor', 'acl', 'keys'])
    assert.match(stdout, new RegExp(`^ {2}${command} `, 'm'))
  assert.match(stdout, /Exit codes: 0 .* 1 .* 2 /)
})

test('a wrong call has exit code 2, says what was meant, and has no stack', async t => {
  const calls: readonly (readonly [args: readonly string[], said: RegExp])[] = [
    [['folow'], /unknown command 'folow'\n\(Did you mean follow\?\)/],
    [['serve', 'x.json', '--prt', '1'], /unknown option '--prt'\n\(Did you mean --port\?\)/],
    [['serve', 'x.json', '--port', '70000'], /0 to 65535/],
    [['serve', 'x.json', '--memory', '--reset'], /'--memory' cannot be used with option '--reset'/],
    [['tail', 'people#'], /"#" for all that follow/],
    [['tail', 'people/#', '--after', 'people:k3f9:1'], /--after needs --api/],
    [['tail', 'people/#', '--api', 'http://127.0.0.1:1', '--after', 'people:1'], /cannot be read/],
    [['follow', 'mqtt://127.0.0.1'], /Give an address such as http/],
    [['follow', 'http://127.0.0.1:1/people?limit=1'], /followed as a whole, so "limit" would change nothing/],
    [['follow', 'http://127.0.0.1:1/people', '-H', 'X-A: 漢'], /characters up to U\+00FF/],
    [['serve', 'x.json', '--port', '6000'], /never ask port 6000/],
    [['help', 'nope'], /unknown command 'nope'; there are serve, /],
    [['help', 'folow'], /unknown command 'folow' \(did you mean "follow"\?\)/],
  ]
  for (const [args, said] of calls) {
    const { code, stdout, stderr } = await runProgram(t, args)
    assert.equal(code, 2, args.join(' '))
    assert.equal(stdout, '')
    assert.match(stderr, said)
    assert.doesNotMatch(stderr, /^ +at /m)
  }
})

test('what fails has exit code 1 and one sentence; LOCKSTEP_DEBUG=1 adds the stack', async t => {
  const folder = await temporaryFolder(t, { 'db.txt': '' })
  const { code, stderr } = await runProgram(t, ['serve', 'db.txt'], { cwd: folder })
  assert.equal(code, 1)
  assert.match(stderr, /^lockstep: The name of db\.txt ends neither in \.json nor .*\n$/)
  const missing = await runProgram(t, ['serve', 'none.json'], { cwd: folder, env: { LOCKSTEP_DEBUG: '1' } })
  assert.equal(missing.code, 1)
  assert.match(missing.stderr, /There is no file .*none\.json\.\n +at /)
})

test('where the reader of its output is gone it ends without a word', async t => {
  const child = spawn(process.execPath, [bin, '--help'], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(() => child.kill('SIGKILL'))
  child.stdout.destroy()
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const [code] = await once(child, 'close')
  assert.equal(code, 0)
  assert.equal(stderr, '')
})

test('docs/cli.md names every command with every option, and none that there is not', async () => {
  const program = new Command()
  for (const declare of [declareServe, declareFollow, declareTail, declareDoctor, declareAcl])
    declare(program)
  const text = await readFile(new URL('../../docs/cli.md', import.meta.url), 'utf8')
  for (const command of program.commands) {
    const [, section = ''] = new RegExp(`\n## ${command.name()}\n(.*?)(?=\n## |$)`, 's').exec(text) ?? []
    const documented = [...section.matchAll(/^\| (?:`-\w`, )?`(--[\w-]+)/gm)].map(([, option]) => option)
    assert.deepEqual(
      documented,
      command.options.map(({ long }) => long),
      command.name(),
    )
  }
})
