/**
 * `lockstep mirror <upstream>`: mirrors an API that knows nothing of it. A proxy with a broker, from a few names or a file.
 */
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { type Json, LockstepError, parseJson } from 'lockstep/contract'
import { createMemoryLog, openSqliteLog } from 'lockstep/log'
import {
  type MirrorSettings,
  openLearning,
  openSidecar,
  type Proposal,
  proposeFromOpenApi,
  type SidecarOptions,
} from 'lockstep/sidecar'
import {
  parseApiPort,
  parseBrokerUrl,
  parseHeader,
  parseHttpUrl,
  parsePort,
  parseRoot,
  parseSeconds,
  parseTopicPrefix,
} from './argument.ts'
import { reportInBackground } from './failure.ts'
import { formatProposal, readMirrorFile } from './mirror-file.ts'
import { openServeBroker, reachable, withOption } from './serve-ports.ts'
import { parseServedText } from './served-text.ts'
import { untilStopped } from './stop.ts'
import { printLine, printNotice, surviveBrokenPipe } from './terminal.ts'

interface MirrorCommandOptions {
  readonly resources?: readonly string[]
  readonly config?: string
  readonly openapi?: string
  readonly learn?: boolean
  readonly port?: number
  readonly host: string
  readonly mqttPort?: number
  readonly broker?: string
  readonly data?: string
  readonly memory?: boolean
  readonly root?: string
  readonly topicPrefix?: string
  readonly header?: Readonly<Record<string, string>>
  readonly scan?: number
}

const examples = `
Examples:
  $ lockstep mirror http://127.0.0.1:3001 --resources people,orders
  $ lockstep mirror http://127.0.0.1:3001 --config mirror.yaml
  $ lockstep mirror http://127.0.0.1:3001 --openapi http://127.0.0.1:3001/openapi.json
  $ lockstep mirror http://127.0.0.1:3001 --learn > mirror.yaml      use the API through it, then Ctrl-C

Clients of the API go to the sidecar's port instead; followers to its /_mirror. docs/sidecar.md describes the file.`

export function declareMirror(program: Command): void {
  program
    .command('mirror')
    .description('mirror an API that knows nothing of it: a proxy that sees what changes')
    .argument('[upstream]', 'where the API is, unless the file says it', parseHttpUrl)
    .option('-r, --resources <names>', 'what to mirror: people,people/{person}/friends', parseNames)
    .option('-c, --config <file>', 'a YAML or JSON file that says more of it')
    .option('--openapi <place>', 'take the resources from an OpenAPI document: a URL or a file')
    .option('--learn', 'only pass requests on, and propose a file in the end')
    .option('-p, --port <number>', 'port of the proxy; 0 takes any free one (default: 3000)', parseApiPort)
    .option('--host <address>', 'address to listen at, for proxy and broker', '127.0.0.1')
    .option('--mqtt-port <number>', 'port of the embedded broker (default: 1883)', parsePort)
    .addOption(
      new Option('--broker <url>', 'publish to this broker instead of an embedded one')
        .argParser(parseBrokerUrl)
        .conflicts('mqttPort')
        .env('LOCKSTEP_BROKER'),
    )
    .option(
      '--data <folder>',
      'where to keep what was seen (default: ".lockstep/<host and port of the API>")',
    )
    .addOption(new Option('--memory', 'keep nothing').conflicts('data'))
    .option('--root <path>', 'where the mirror is (default: /_mirror)', parseRoot)
    .option('--topic-prefix <prefix>', 'what stands before the topics, such as acme/prod/', parseTopicPrefix)
    .option(
      '-H, --header <line>',
      'sent when the sidecar itself looks, such as "Authorization: …"',
      parseHeader,
    )
    .option('--scan <seconds>', 'from one scan of everything to the next (default: 60)', parseSeconds)
    .addHelpText('after', examples)
    .action(mirror)
}

async function mirror(given: URL | undefined, options: MirrorCommandOptions): Promise<void> {
  surviveBrokenPipe()
  const file: MirrorSettings = options.config === undefined ? {} : await readMirrorFile(options.config)
  const upstream = originOf(given, file)
  const stop = untilStopped()
  if (options.learn === true) {
    await learn(upstream, options, stop.promise)
    return
  }
  const named = Object.fromEntries((options.resources ?? []).map(name => [name, {}]))
  const proposed = options.openapi === undefined ? undefined : await proposeFrom(options.openapi)
  for (const { resource, text } of proposed?.notes ?? []) printNotice(`${resource}: ${text}`)
  const resources = { ...proposed?.resources, ...file.resources, ...named }
  if (Object.keys(resources).length === 0) {
    throw new LockstepError(
      'invalid-option',
      'Nothing says what is to be mirrored. Name it, as in --resources people,orders; or --config, --openapi or --learn.',
    )
  }
  await using opened = new AsyncDisposableStack()
  const { host } = options
  const { broker, url: brokerUrl } = await openServeBroker({
    host,
    broker: options.broker,
    mqttPort: options.mqttPort ?? 1883,
  })
  opened.use(broker)
  const folder = resolve(
    options.data ?? join('.lockstep', new URL(upstream).host.replaceAll(/[^\w.-]+/g, '-')),
  )
  const isKept = options.memory !== true
  const logFile = join(folder, 'mirror.db')
  const log = opened.use(
    isKept ? await openSqliteLog({ file: logFile, onError: reportInBackground }) : createMemoryLog(),
  )
  const sidecar = opened.use(
    await openSidecar({
      ...settingsOf(file, options),
      upstream,
      resources,
      log,
      broker,
      host,
      port: options.port ?? 3000,
      ...(isKept ? { journalFile: join(folder, 'intents') } : {}),
      onError: reportInBackground,
    }).catch(error => {
      throw withOption(error, 'with --port.')
    }),
  )
  printLine(`Proxy   ${reachable(sidecar.url)}   before ${upstream}`)
  printLine(`Mirror  ${reachable(sidecar.mirrorUrl)}   ${Object.keys(resources).join(', ')}`)
  printLine(`Broker  ${reachable(brokerUrl)}`)
  await Promise.race([sidecar.ready.then(() => printLine('Everything was scanned once.')), stop.promise])
  await stop.promise
  await opened.disposeAsync()
  printLine('Stopped.')
}

function settingsOf(file: MirrorSettings, options: MirrorCommandOptions): Partial<SidecarOptions> {
  const { upstream: _, resources: __, ...rest } = file
  const { root, topicPrefix, header, scan } = options
  return {
    ...rest,
    headers: { ...file.headers, ...header },
    ...(root === undefined ? {} : { root }),
    ...(topicPrefix === undefined ? {} : { topicPrefix }),
    ...(scan === undefined ? {} : { scanEveryMs: Math.round(scan * 1_000) }),
  }
}

function originOf(given: URL | undefined, { upstream }: MirrorSettings): string {
  const text = given?.href ?? upstream
  if (text === undefined) {
    throw new LockstepError(
      'invalid-option',
      'Say where the API is, as in lockstep mirror http://127.0.0.1:3001.',
    )
  }
  const url = parseHttpUrl(text)
  if (url.pathname === '/' && url.search === '') return url.origin
  throw new LockstepError(
    'invalid-option',
    `${text} has a path. Give the origin, ${url.origin}; paths of lists are said by the resources.`,
  )
}

async function learn(
  upstream: string,
  { host, port }: MirrorCommandOptions,
  stopped: Promise<void>,
): Promise<void> {
  await using learning = await openLearning({
    upstream,
    host,
    port: port ?? 3000,
    onError: reportInBackground,
  })
  printNotice(
    `Listening at ${reachable(learning.url)} before ${upstream}. Use the API through it, then press Ctrl-C.`,
  )
  await stopped
  process.stdout.write(formatProposal(upstream, learning.propose()))
}

/** Errors: `api-unreachable`, `api-refused`, `invalid-option`. */
async function proposeFrom(place: string): Promise<Proposal> {
  const isUrl = /^https?:\/\//i.test(place)
  const text = isUrl
    ? await fetchText(place)
    : await readFile(resolve(place), 'utf8').catch(cause => {
        throw new LockstepError('invalid-option', `${place} cannot be read.`, { cause })
      })
  const document: Json = /^\s*\{/.test(text) ? parseJson(text) : parseServedText('document.yaml', text).value
  return proposeFromOpenApi(document)
}

async function fetchText(url: string): Promise<string> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(30_000) })
    if (response.ok) return await response.text()
    throw new LockstepError('api-refused', `${url} answered with ${response.status}.`)
  } catch (cause) {
    if (cause instanceof LockstepError) throw cause
    throw new LockstepError('api-unreachable', `${url} cannot be read.`, { cause })
  }
}

function parseNames(text: string): readonly string[] {
  return text
    .split(',')
    .map(name => name.trim().replace(/^\//, ''))
    .filter(name => name !== '')
}
