/**
 * `lockstep serve <file>`: a whole mirrored service with its broker, from one JSON or YAML file.
 *
 * Ports are taken before anything is kept or deleted, so that a second start by mistake changes nothing.
 */
import { dirname, join, relative, resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { type Broker, connectMqtt, openEmbeddedBroker } from 'lockstep/broker'
import { isLockstepError, LockstepError } from 'lockstep/contract'
import { type HttpServer, openHttpServer } from 'lockstep/service'
import { parseBrokerUrl, parsePort, parseRoot, parseTopicPrefix, showUrl } from './argument.ts'
import { createMemoryData, type DataFolder, openDataFolder, resetDataFolder } from './data-folder.ts'
import { reportInBackground } from './failure.ts'
import { watchServedFile } from './file-watch.ts'
import { describeSeeding, writeFirstRows } from './seeding.ts'
import { formatBanner } from './serve-banner.ts'
import { createReload } from './serve-reload.ts'
import { readServedFile, type ServedFile } from './served-file.ts'
import { openServedSystem, type ServedSystem } from './served-system.ts'
import { untilStopped } from './stop.ts'
import { paintOut, printLine, printNotice, printWarning, surviveBrokenPipe } from './terminal.ts'

interface ServeOptions {
  readonly port?: number
  readonly host?: string
  readonly mqttPort?: number
  readonly broker?: string
  readonly root?: string
  readonly topicPrefix?: string
  readonly data?: string
  readonly memory?: true
  readonly reset?: true
  readonly readOnly?: true
}

/** What holds once options, file and defaults are put together. */
interface ServeSettings {
  readonly port: number
  readonly host: string
  readonly mqttPort: number
  readonly broker: string | undefined
  readonly root: string
  readonly topicPrefix: string
  /** `undefined` keeps everything in memory. */
  readonly data: string | undefined
  readonly reset: boolean
  readonly readOnly: boolean
}

const examples = `
Examples:
  $ lockstep serve db.json                       a json-server file: each array is a collection
  $ lockstep serve api.yaml --port 8080          resources with schemas and first rows
  $ lockstep serve db.json --memory              nothing is kept
  $ lockstep serve db.json --reset               deletes what was kept, begins with the first rows
  $ lockstep serve db.json --broker mqtt://127.0.0.1:1883

First rows are written once, when a collection is new; what is kept afterwards is what was written over HTTP.
Changes of the file take effect while it runs. docs/cli.md describes the file.`

export function declareServe(program: Command): void {
  program
    .command('serve')
    .description('serve a mirrored API from a JSON or YAML file, with its broker')
    .argument('<file>', 'Lockstep\'s own form ("resources": …), or a json-server file')
    .option('-p, --port <number>', 'port of the API; 0 takes any free one (default: 3000)', parsePort)
    .option('--host <address>', 'address to listen at, for API and broker (default: "127.0.0.1")')
    .option('--mqtt-port <number>', 'port of the embedded broker (default: 1883)', parsePort)
    .addOption(
      new Option('--broker <url>', 'publish to this broker instead of an embedded one')
        .argParser(parseBrokerUrl)
        .conflicts('mqttPort')
        .env('LOCKSTEP_BROKER'),
    )
    .option('--root <path>', 'what stands before the paths, such as /api/v1', parseRoot)
    .option('--topic-prefix <prefix>', 'what stands before the topics, such as acme/prod/', parseTopicPrefix)
    .option('--data <folder>', 'where to keep what is written (default: ".lockstep/<file>/" beside the file)')
    .addOption(new Option('--memory', 'keep nothing').conflicts(['data', 'reset']))
    .option('--reset', 'delete what was kept before, and say what')
    .option('--read-only', 'refuse writes over HTTP')
    .addHelpText('after', examples)
    .action(serve)
}

async function serve(path: string, options: ServeOptions): Promise<void> {
  surviveBrokenPipe()
  const file = await readServedFile(path)
  const settings = combine(file, options)
  const stop = untilStopped()
  await using opened = new AsyncDisposableStack()
  const broker = opened.use(await openBroker(settings))
  const gate = Promise.withResolvers<ServedSystem>()
  const server = opened.use(await openServer(settings, gate.promise))
  const data = await openData(settings)
  opened.use(data.log)
  const seeded = await writeFirstRows(file.collections, data)
  const resources = file.collections.map(({ resource }) => resource)
  const { log } = data
  const system = await openServedSystem(resources, { ...settings, log, broker, onError: reportInBackground })
  opened.defer(() => system.close())
  gate.resolve(system)

  const brokerUrl = settings.broker === undefined ? embeddedUrl(broker) : showUrl(settings.broker)
  const apiUrl = reachable(server.url) + settings.root
  const banner = { ...settings, file, seeded, apiUrl, brokerUrl: reachable(brokerUrl), paint: paintOut }
  printLine(formatBanner(banner))
  warn(settings, [...file.notices, ...describeSeeding(seeded)])
  const reload = createReload({ file, data, system })
  const unwatch = watchServedFile(file.path, () => void reload())
  // It may have changed since it was read.
  void reload()
  await stop.promise
  unwatch()
  // Nothing new comes in while that which runs comes to its end.
  const closed = server.close()
  await system.close()
  await closed
  await opened.disposeAsync()
  printLine('Stopped.')
}

function warn({ host }: ServeSettings, notices: readonly string[]): void {
  for (const notice of notices) printWarning(notice)
  if (/^(localhost|127\..*|::1)$/.test(host)) return
  printWarning(`Whoever reaches ${host} can read and write: there is no login. --read-only refuses writes.`)
}

/** Where to go for an address that stands for all of them. */
function reachable(url: string): string {
  return url.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:')
}

function combine(file: ServedFile, options: ServeOptions): ServeSettings {
  const { settings } = file
  const folder = dirname(file.path)
  const kept =
    settings.data === undefined ? join(folder, '.lockstep', file.name) : resolve(folder, settings.data)
  return {
    port: options.port ?? settings.port ?? 3000,
    host: options.host ?? settings.host ?? '127.0.0.1',
    mqttPort: options.mqttPort ?? settings.mqttPort ?? 1883,
    broker: options.broker,
    root: options.root ?? settings.root ?? '',
    topicPrefix: options.topicPrefix ?? settings.topicPrefix ?? '',
    data: options.memory ? undefined : options.data === undefined ? kept : resolve(options.data),
    reset: options.reset === true,
    readOnly: options.readOnly === true,
  }
}

async function openBroker({ broker, host, mqttPort }: ServeSettings): Promise<Broker> {
  if (broker !== undefined) return connectMqtt(broker, { onError: reportInBackground })
  try {
    return await openEmbeddedBroker({ host, port: mqttPort, onError: reportInBackground })
  } catch (error) {
    const orUse = `with --mqtt-port; where a broker runs there, use it with --broker mqtt://${host}:${mqttPort}.`
    throw withHint(error, orUse)
  }
}

function embeddedUrl(broker: Broker): string {
  return (broker as Broker & { readonly url: string }).url
}

/** Requests that come while all is being opened wait for it. */
async function openServer({ host, port }: ServeSettings, system: Promise<ServedSystem>): Promise<HttpServer> {
  try {
    return await openHttpServer(
      { owns: () => true, handle: async exchange => (await system).handle(exchange) },
      { host, port },
    )
  } catch (error) {
    throw withHint(error, 'with --port.')
  }
}

/** Says with which option another port is chosen. */
function withHint(error: unknown, hint: string): unknown {
  if (!isLockstepError(error, 'port-taken')) return error
  return new LockstepError('port-taken', `${error.message.replace(/\.$/, '')} ${hint}`, { cause: error })
}

async function openData({ data, reset }: ServeSettings): Promise<DataFolder> {
  if (data === undefined) return createMemoryData()
  if (reset) {
    const deleted = await resetDataFolder(data)
    for (const path of deleted) printNotice(`Deleted ${relative(process.cwd(), path)}`)
    if (deleted.length === 0) printNotice(`There was nothing to delete in ${data}.`)
  }
  return await openDataFolder(data, reportInBackground)
}
