/**
 * `npm start`: the demo system. One embedded broker, three services and a legacy program as processes of their own, the
 * pages, and the gateway before it all.
 *
 * A service that dies is started again, so that it can be killed for a test; Ctrl-C stops all of it.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { openEmbeddedBroker } from 'lockstep/broker'
import { takeDataFolder } from './data-folder.ts'
import { makeAudienceKey, openDoor } from './door.ts'
import { openFrontDoor } from './front-door.ts'
import { outliveOutput, readFolder, readPort, stopNaming, stopWithMessage } from './settings.ts'
import { openSite } from './site.ts'

const names = ['users', 'projects', 'builds'] as const
const dataDir = readFolder('DATA_DIR', '.lockstep')
const password = randomBytes(16).toString('hex')
const audienceKey = makeAudienceKey()
const children = new Map<string, ChildProcess>()
const recentDeaths = new Map<string, number[]>()
let stopping = false

function startService(name: string, port: number, brokerUrl: string): Promise<string> {
  return new Promise((ready, failed) => {
    const child = fork(new URL(`./${name}.ts`, import.meta.url), {
      env: {
        ...process.env,
        SERVICE_PORT: String(port),
        BROKER_URL: brokerUrl,
        BROKER_PASSWORD: password,
        DATA_DIR: dataDir,
        AUDIENCE_KEY: audienceKey,
        // Projects embed their owner and members from there.
        USERS_URL: urls['users'] ?? '',
      },
    })
    children.set(name, child)
    child.on('message', message => {
      const { url, error } = message as { url?: string; error?: string }
      if (url !== undefined) ready(url)
      else failed(new Error(error))
    })
    child.on('exit', (code, signal) => {
      failed(new Error(`The service "${name}" ended before it was ready.`))
      if (!stopping) restart(name, port, brokerUrl, signal ?? `exit code ${code}`)
    })
  })
}

function restart(name: string, port: number, brokerUrl: string, reason: string): void {
  const deaths = [...(recentDeaths.get(name) ?? []), Date.now()].filter(time => time > Date.now() - 30_000)
  recentDeaths.set(name, deaths)
  if (deaths.length > 5) {
    void stop(`The service "${name}" ended ${deaths.length} times within 30 s (${reason}).`)
    return
  }
  console.log(`The service "${name}" ended (${reason}); starting it again.`)
  // At the port it had, where it was free to choose: others know it there.
  const { port: usedPort } = new URL(urls[name] ?? `http://localhost:${port}`)
  startService(name, Number(usedPort), brokerUrl).then(
    url => console.log(`${name} is back at ${url}/${name} (process ${children.get(name)?.pid}).`),
    () => {},
  )
}

async function stop(failure?: string): Promise<void> {
  if (stopping) return
  stopping = true
  const ended = [...children.values()].map(
    child =>
      new Promise(done =>
        child.exitCode === null && child.signalCode === null ? child.once('exit', done) : done(undefined),
      ),
  )
  for (const child of children.values()) child.kill('SIGTERM')
  // One that hangs must not keep the others from ending.
  setTimeout(() => {
    for (const child of children.values()) child.kill('SIGKILL')
  }, 5_000).unref()
  await Promise.all(ended)
  await door?.close()
  await frontDoor?.close()
  await broker?.close()
  if (failure !== undefined) stopWithMessage(failure)
  console.log('Stopped.')
  process.exit(0)
}

outliveOutput()
process.on('SIGINT', () => void stop())
process.on('SIGTERM', () => void stop())
// npm does not pass on the signal that ends it.
const startedBy = process.ppid
if (process.env['npm_lifecycle_event'] !== undefined) {
  setInterval(() => process.ppid !== startedBy && void stop(), 1_000).unref()
}

takeDataFolder(dataDir)
const host = '127.0.0.1'
const publishers = Object.fromEntries(names.map(name => [name, password]))
const broker = await openEmbeddedBroker({ host, port: readPort('MQTT_PORT', 1883), publishers }).catch(
  stopNaming('MQTT_PORT'),
)
const frontDoor = await openFrontDoor({ host, port: 0 })
const door = await openDoor({
  host,
  port: readPort('PORT', 3000),
  dataDir,
  pages: frontDoor.url,
  audienceKey,
}).catch(stopNaming('PORT'))
const urls: Record<string, string> = {}
const start = async (name: string, index: number): Promise<void> => {
  urls[name] = await startService(name, readPort(`${name.toUpperCase()}_PORT`, 3001 + index), broker.url)
}
try {
  // Whoever refers to users must know where they are.
  await start('users', 0)
  await Promise.all(names.map((name, index) => name !== 'users' && start(name, index)))
  urls['legacy'] = await startService('legacy', 0, broker.url)
} catch (error) {
  await stop((error as Error).message)
}
const services = Object.fromEntries(names.map(name => [name, urls[name]!]))
frontDoor.show(await openSite({ services, broker }))
await door.lead(services, urls['legacy']!)

const lines = names.map(name => {
  const address = `${urls[name]}/${name}`
  return `  ${name.padEnd(9)} ${address.padEnd(34)} topics ${`${name}/#`.padEnd(12)} process ${children.get(name)?.pid}`
})
console.log(`Lockstep is running.

${lines.join('\n')}
  broker    ${broker.url}
  pages     ${door.url}
  the API   ${door.url}/api/v1/users and /projects, /builds; /tickets is still the legacy program's
  docs      ${door.url}/docs/
  public    ${door.url}/public/v1/users, with one of these keys as "Authorization: Bearer …":
              ${door.keys.limited}  1 request/s
              ${door.keys.unlimited}  unlimited
  data      ${dataDir}

Try, each in a terminal of its own:

  npx mqtt sub -h ${host} -p ${broker.port} -t 'users/#'
  curl -X PATCH ${urls['users']}/users/johndoe -H 'content-type: application/json' -d "{\\"email\\":\\"john+$RANDOM@example.com\\"}"
  curl -N -H 'accept: text/event-stream' ${urls['builds']}/builds/_changes

Ctrl-C stops everything.`)
