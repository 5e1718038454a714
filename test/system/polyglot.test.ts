/** The services and the follower of examples/python and examples/php, written in other languages, before `lockstep check`. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { connectMqtt } from 'lockstep/broker'
import { checkApi, readResourcesFile } from 'lockstep/check'
import type { Json } from 'lockstep/contract'
import { freePort, skipWithoutMosquitto, startMosquitto } from '../support/mosquitto.ts'

const examples = fileURLToPath(new URL('../../examples/', import.meta.url))

/** The first of these programs that has what the example needs. */
function find(programs: readonly string[], ...args: readonly string[]): string | undefined {
  return programs.find(program => {
    try {
      execFileSync(program, args, { stdio: 'ignore' })
      return true
    } catch {
      return false
    }
  })
}
const python = find(['python3', '/usr/bin/python3'], '-c', 'import paho.mqtt.client')
const php = find(['php'], '-r', "exit(class_exists('Normalizer') && extension_loaded('pdo_sqlite') ? 0 : 1);")

interface Running {
  readonly api: string
  /** Ends all of its processes at once, and starts it again. */
  restart(): Promise<void>
}

/** Starts a service in a process group of its own, in an empty folder. */
async function start(t: TestContext, command: readonly string[], broker: string): Promise<Running> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-polyglot-'))
  const port = await freePort()
  let child: ChildProcess | undefined
  const launch = async (): Promise<void> => {
    const env = { ...process.env, PORT: String(port), BROKER: broker, FILE: join(folder, 'people.db') }
    child = spawn(command[0]!, command.slice(1), {
      env,
      detached: true,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout!, 'data')
  }
  const kill = async (): Promise<void> => {
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    process.kill(-child.pid, 'SIGKILL')
    await gone
  }
  t.after(async () => {
    await kill()
    await rm(folder, { recursive: true, force: true })
  })
  await launch()
  return {
    api: `http://127.0.0.1:${port}`,
    async restart() {
      await kill()
      await launch()
    },
  }
}

async function answers(url: string): Promise<void> {
  const end = performance.now() + 20_000
  for (;;) {
    const answer = await fetch(url).catch(() => undefined)
    if (answer?.ok) return
    if (performance.now() > end) throw new Error(`${url} did not answer within 20 s.`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

/** Judges it, with kills; gives the checks that were skipped. */
async function judge(t: TestContext, folder: string, command: readonly string[]): Promise<string[]> {
  await using mosquitto = await startMosquitto()
  await using broker = await connectMqtt(mosquitto.url)
  const running = await start(t, command, new URL(mosquitto.url).host)
  await answers(`${running.api}/people`)
  const resources = JSON.parse(await readFile(join(examples, folder, 'resources.json'), 'utf8')) as Json
  const report = await checkApi({
    api: running.api,
    broker,
    outline: readResourcesFile(resources, 'resources.json'),
    restart: () => running.restart(),
    patienceMs: 20_000,
  })
  t.diagnostic(`${report.passed} passed, ${report.skipped} skipped, in ${report.tookMs} ms`)
  const failed = report.results.filter(({ status }) => status === 'failed')
  assert.deepEqual(
    failed.map(({ id, faults }) => [id, faults]),
    [],
  )
  return report.results.filter(({ status }) => status === 'skipped').map(({ id }) => id)
}

const withoutPython =
  skipWithoutMosquitto || (python === undefined && 'python3 with paho-mqtt is not installed')
const withoutPhp =
  skipWithoutMosquitto || (php === undefined && 'php with intl and pdo_sqlite is not installed')

test('the service in Python keeps every rule that it has to', { skip: withoutPython }, async t => {
  const skipped = await judge(t, 'python', [python!, join(examples, 'python/service.py')])
  assert.deepEqual(skipped.sort(), [
    'feed.compact',
    'health',
    'messages.schema',
    'retry.keys',
    'write.bulk',
    'write.json-patch',
  ])
})

test('the service in PHP keeps every rule that it has to', { skip: withoutPhp }, async t => {
  const skipped = await judge(t, 'php', [php!, join(examples, 'php/relay.php')])
  assert.deepEqual(skipped.sort(), [
    'feed.compact',
    'feed.events',
    'health',
    'messages.schema',
    'write.bulk',
    'write.json-patch',
  ])
})

test('the follower in Python holds what the service has, also when messages were lost', {
  skip: withoutPython,
}, async t => {
  await using mosquitto = await startMosquitto()
  const address = new URL(mosquitto.url).host
  const { api } = await start(t, [python!, join(examples, 'python/service.py')], address)
  await answers(`${api}/people`)
  const write = async (method: string, path: string, body?: object): Promise<void> => {
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(api + path, { method, headers, body: body && JSON.stringify(body) })
    assert.ok(answer.ok, `${method} ${path} was answered with ${answer.status}`)
  }
  for (const id of ['ann', 'b c']) await write('POST', '/people', { id, name: id })
  const follower = spawn(python!, [join(examples, 'python/follower.py'), `${api}/people`, address], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.after(() => follower.kill('SIGKILL'))
  let printed = ''
  follower.stdout.setEncoding('utf8')
  const until = async (text: string, during: () => Promise<void> = async () => {}): Promise<void> => {
    const end = performance.now() + 20_000
    while (!printed.includes(text)) {
      if (performance.now() > end) throw new Error(`The follower never printed ${text}:\n${printed}`)
      await during()
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }
  follower.stdout.on('data', (text: string) => {
    printed += text
  })
  let age = 0
  await until('"modified", "/people/ann"', () => write('PATCH', '/people/ann', { age: ++age }))
  await mosquitto.kill()
  await write('PATCH', '/people/ann', { name: 'Ann' })
  await write('DELETE', '/people/b%20c')
  await write('POST', '/people', { id: 'dan', name: 'Dan' })
  await mosquitto.restart()
  await until('"created", "/people/dan"')
  await until('"deleted", "/people/b%20c"')
  follower.stdin.end()
  await once(follower, 'close')
  const people = (await (await fetch(`${api}/people`)).json()) as { id: string }[]
  assert.deepEqual(
    JSON.parse(printed.split('\n').at(-2)!),
    Object.fromEntries(people.map(each => [`/people/${each.id}`, each])),
  )
})
