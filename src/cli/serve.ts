/**
 * `lockstep serve <file>`: a whole mirrored service with its broker, from one JSON or YAML file.
 *
 * Ports are taken before anything is kept or deleted, so that a second start by mistake changes nothing.
 */
import { relative } from 'node:path'
import { type Command, Option } from 'commander'
import type { Broker } from 'lockstep/broker'
import type { ReportError } from 'lockstep/log'
import { parseApiPort, parseBrokerUrl, parsePort, parseRoot, parseTopicPrefix } from './argument.ts'
import { explainDataFailure } from './data-failure.ts'
import { createMemoryData, type DataFolder, openDataFolder, resetDataFolder } from './data-folder.ts'
import { reportInBackground } from './failure.ts'
import { watchServedFile } from './file-watch.ts'
import { describeSeeding, type Seeded, writeFirstRows } from './seeding.ts'
import { formatBanner } from './serve-banner.ts'
import { openServeBroker, openServeServer, reachable } from './serve-ports.ts'
import { createReload } from './serve-reload.ts'
import { combineSettings, listDifferences, type ServeOptions, type ServeSettings } from './serve-settings.ts'
import { readServedFile, type ServedFile } from './served-file.ts'
import { openServedSystem, type ServedSystem } from './served-system.ts'
import { untilStopped } from './stop.ts'
import { paintOut, printLine, printNotice, printWarning, surviveBrokenPipe } from './terminal.ts'

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
    .option('-p, --port <number>', 'port of the API; 0 takes any free one (default: 3000)', parseApiPort)
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
  const settings = combineSettings(file, options)
  const stop = untilStopped()
  await using opened = new AsyncDisposableStack()
  const { broker, url: brokerUrl } = await openServeBroker(settings)
  opened.use(broker)
  const gate = Promise.withResolvers<ServedSystem>()
  const server = opened.use(await openServeServer(settings, gate.promise))
  const explainData = (error: unknown): unknown =>
    settings.data === undefined ? error : explainDataFailure(error, settings.data)
  const serving = openServing(file, { settings, broker, opened, explainData })
  const { data, seeded, system } = await serving.catch(error => {
    throw explainData(error)
  })
  gate.resolve(system)

  const apiUrl = reachable(server.url) + settings.root
  const banner = { ...settings, file, seeded, apiUrl, brokerUrl: reachable(brokerUrl), paint: paintOut }
  printLine(formatBanner(banner))
  warn(settings, [...file.notices, ...describeSeeding(seeded)])
  const listWaiting = (next: ServedFile): string[] =>
    listDifferences(settings, combineSettings(next, options))
  const reload = createReload({ file, data, system, listWaiting, explainData })
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

interface Serving {
  readonly data: DataFolder
  readonly seeded: readonly Seeded[]
  readonly system: ServedSystem
}

interface ServingOptions {
  readonly settings: ServeSettings
  readonly broker: Broker
  /** Closes what is opened here. */
  readonly opened: AsyncDisposableStack
  /** Says of an error what is wrong with the data folder, where that is at fault. */
  readonly explainData: (error: unknown) => unknown
}

/** Opens what is kept, writes first rows and begins to serve. */
async function openServing(file: ServedFile, options: ServingOptions): Promise<Serving> {
  const { settings, broker, opened, explainData } = options
  const onError: ReportError = (error, context) => reportInBackground(explainData(error), context)
  const data = await openData(settings, onError)
  const { log } = data
  opened.use(log)
  const seeded = await writeFirstRows(file.collections, data)
  const resources = file.collections.map(({ resource }) => resource)
  const system = await openServedSystem(resources, { ...settings, log, broker, onError })
  opened.defer(() => system.close())
  return { data, seeded, system }
}

function warn({ host, readOnly }: ServeSettings, notices: readonly string[]): void {
  for (const notice of notices) printWarning(notice)
  if (/^(localhost|127\..*|::1)$/.test(host)) return
  const isEvery = host === '0.0.0.0' || host === '::'
  const where = isEvery ? 'this machine, at any of its addresses,' : host
  const what = readOnly ? 'read everything' : 'read and write; --read-only refuses writes'
  printWarning(`There is no login: whoever reaches ${where} can ${what}.`)
}

async function openData({ data, reset }: ServeSettings, onError: ReportError): Promise<DataFolder> {
  if (data === undefined) return createMemoryData()
  if (reset) {
    const deleted = await resetDataFolder(data)
    for (const path of deleted) printNotice(`Deleted ${relative(process.cwd(), path)}`)
    if (deleted.length === 0) printNotice(`There was nothing to delete in ${data}.`)
  }
  return await openDataFolder(data, onError)
}
