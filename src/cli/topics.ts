/**
 * `lockstep topics <broker url>`: the REST view of the topics of any MQTT broker, with a page to look at them and publish.
 *
 * It serves until it is told to stop. What it may do is what the user of the broker's URL may do; the filters narrow it.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { connectMqtt } from 'lockstep/broker'
import { LockstepError } from 'lockstep/contract'
import { mountTopics, openTopics, type TopicRights } from 'lockstep/topics'
import { parseApiPort, parseBrokerUrl, parseFilter, parseRoot, showUrl } from './argument.ts'
import { reportInBackground } from './failure.ts'
import { withOption } from './serve-ports.ts'
import { untilStopped } from './stop.ts'
import { printNotice } from './terminal.ts'

interface TopicsCommandOptions {
  readonly host: string
  readonly port: number
  readonly root: string
  readonly read?: readonly string[]
  readonly publish?: readonly string[]
  readonly readOnly?: true
  readonly file?: string
  readonly user?: string
  readonly origin?: readonly string[]
  readonly mqtt: '4' | '5'
}

const examples = `
Examples:
  $ lockstep topics mqtt://127.0.0.1:1883
  $ curl http://127.0.0.1:3080/topics/sensors/kitchen
  $ curl -X PUT http://127.0.0.1:3080/topics/lamp -H 'content-type: application/json' -d '{"on":true}'
  $ curl -N http://127.0.0.1:3080/topics/sensors/%23 -H 'accept: text/event-stream'

"#" is written %23 in URLs. http://127.0.0.1:3080/topics is a page for people.
LOCKSTEP_TOPICS_USER=name:password asks for them, as --user does without showing them in the list of processes.`

export function declareTopics(program: Command): void {
  program
    .command('topics')
    .description("read, publish and watch a broker's topics over HTTP")
    .argument('<broker>', 'its URL, such as mqtt://127.0.0.1:1883', parseBrokerUrl)
    .option('--port <port>', 'where to serve; 0 takes any free port', parseApiPort, 3080)
    .option('--host <host>', 'the address to serve at', '127.0.0.1')
    .option('--root <path>', 'what stands before topics', parseTopicsRoot, '/topics')
    .option('--read <filter>', "topics that may be read; may be repeated (default: '#')", collectFilter)
    .option(
      '--publish <filter>',
      "topics that may be published to; may be repeated (default: '#')",
      collectFilter,
    )
    .option('--read-only', 'publish nothing')
    .option('--file <file>', 'keep last values in this SQLite file (default: in memory)')
    .addOption(
      new Option('--user <name:password>', 'ask for this name and password').env('LOCKSTEP_TOPICS_USER'),
    )
    .option('--origin <origin>', 'pages of this origin may use it; may be repeated', collect)
    .addOption(new Option('--mqtt <version>', '4 is MQTT 3.1.1').choices(['4', '5']).default('4'))
    .addHelpText('after', examples)
    .action(serveTopics)
}

async function serveTopics(url: string, options: TopicsCommandOptions): Promise<void> {
  const { host, port, root, file, user, origin, read = ['#'] } = options
  const stop = untilStopped()
  const rights: TopicRights = { read, publish: options.readOnly ? [] : (options.publish ?? ['#']) }
  const isKnown = user === undefined ? () => true : createLogin(user)
  const protocolVersion = options.mqtt === '5' ? 5 : 4
  await using broker = await connectMqtt(url, { protocolVersion, onError: reportInBackground })
  await using topics = await openTopics({
    broker,
    root,
    filters: read,
    access: request => (isKnown(request) ? rights : undefined),
    challenge: 'Basic realm="topics", charset="UTF-8"',
    onError: reportInBackground,
    ...(file === undefined ? {} : { file }),
    ...(origin === undefined ? {} : { origins: origin }),
  })
  const server = createServer({ requestTimeout: 60_000, headersTimeout: 15_000 })
  mountTopics(topics, server)
  server.listen(port, host)
  try {
    await once(server, 'listening')
  } catch (error) {
    throw withOption(explainListen(error, host, port), 'with --port.')
  }
  const address = server.address() as AddressInfo
  const shownHost = host.includes(':') ? `[${host}]` : host
  printNotice(`The topics of ${showUrl(url)} are at http://${shownHost}:${address.port}${root}`)
  if (user === undefined && !/^(127\.|localhost$|::1$)/.test(host))
    printNotice('Whoever can reach this address may do all this: --user asks for a name and password.')
  await stop.promise
  await topics.close()
  server.close()
  server.closeAllConnections()
}

function explainListen(error: unknown, host: string, port: number): unknown {
  const { code } = error as NodeJS.ErrnoException
  const [name, text] =
    code === 'EADDRINUSE'
      ? ([
          'port-taken',
          `Port ${port} on ${host} is taken. Stop the program that listens there, or choose another port.`,
        ] as const)
      : (['invalid-option', `The server cannot listen at ${host} port ${port} (${code}).`] as const)
  return new LockstepError(name, text, { cause: error })
}

/** Compared as hashes, so that the time it takes tells nothing. */
function createLogin(user: string): (request: IncomingMessage) => boolean {
  if (!/^[^:]+:.+$/s.test(user))
    throw new LockstepError('invalid-option', '--user is no name and password. Give them as name:password.')
  const wanted = hash('sha256', user, 'buffer')
  return ({ headers: { authorization = '' } }) => {
    const given = /^Basic ([A-Za-z0-9+/=]+)$/i.exec(authorization)?.[1] ?? ''
    return timingSafeEqual(hash('sha256', Buffer.from(given, 'base64').toString(), 'buffer'), wanted)
  }
}

function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text]
}

function collectFilter(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, parseFilter(text)]
}

function parseTopicsRoot(text: string): string {
  const root = parseRoot(text)
  if (root === '') throw new InvalidArgumentError('Give a path such as /topics.')
  return root
}
