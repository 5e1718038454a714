/**
 * `lockstep tail <filter>`: messages as they pass on the broker; with --api none missing, none twice.
 *
 * Without an API it shows what the broker delivers, and nothing else. With one, the feed says what came before
 * and fills every hole (feed-tail.ts).
 */
import { type Command, Option } from 'commander'
import { type Broker, connectMqtt } from 'lockstep/broker'
import { type Head, headTopic, type Message } from 'lockstep/contract'
import { withAdvice } from './advice.ts'
import {
  type Beginning,
  defaultBrokerUrl,
  parseBeginning,
  parseBrokerUrl,
  parseCount,
  parseFilter,
  parseHeader,
  parseHttpUrl,
  showUrl,
  trimUrl,
} from './argument.ts'
import { readDelivery } from './delivery.ts'
import { reportInBackground } from './failure.ts'
import { openFeedTail } from './feed-tail.ts'
import { formatForeignLine, formatHeadLine, formatMessageLine, type LineOptions } from './message-line.ts'
import { untilStopped } from './stop.ts'
import { formatJsonLine, lineWidth, paintError, paintOut, printLine, printNotice } from './terminal.ts'

interface TailOptions {
  readonly broker: string
  readonly api?: URL
  readonly after?: Beginning
  readonly header?: Readonly<Record<string, string>>
  readonly heads?: true
  readonly json?: true
  readonly count?: number
}

const examples = `
Examples:
  $ lockstep tail 'people/#'                     all that happens to people
  $ lockstep tail 'people/johndoe' --json | jq   one of them, a JSON message per line
  $ lockstep tail '#' --heads                    everything, heads too
  $ lockstep tail 'people/#' --api http://127.0.0.1:3000 --after people:k3f9:1042
  $ lockstep tail 'people/#' --api http://127.0.0.1:3000 --after earliest --count 10

With --api none is missing and none comes twice: what the broker lost is read from the feed. A creation in the
feed does not say which topic it went to; it is shown where the filter takes either of the two that it may be.`

export function declareTail(program: Command): void {
  program
    .command('tail')
    .description('print messages as they pass on the broker')
    .argument('<filter>', "topic filter, such as 'people/#'", parseFilter)
    .addOption(
      new Option('--broker <url>', 'the broker')
        .argParser(parseBrokerUrl)
        .default(defaultBrokerUrl)
        .env('LOCKSTEP_BROKER'),
    )
    .option('--api <url>', 'the API root: fill from its feed what the broker lost', parseHttpUrl)
    .option(
      '--after <marker>',
      'first what came after it: a marker, "earliest" or "now"; needs --api',
      parseBeginning,
    )
    .option('-H, --header <header>', 'send it to the API; may be repeated', parseHeader)
    .option('--heads', 'print heads too')
    .option('--json', 'print the messages as JSON, one per line')
    .option('-n, --count <number>', 'end after so many', parseCount)
    .addHelpText('after', examples)
    .action((filter: string, options: TailOptions, command: Command) => {
      if (options.after !== undefined && options.api === undefined) {
        command.error('error: --after needs --api: the broker does not keep what has passed')
      }
      return tail(filter, options)
    })
}

async function tail(filter: string, options: TailOptions): Promise<void> {
  const stop = untilStopped()
  const printer = createPrinter(options, stop.now)
  await using broker = await connectMqtt(options.broker, { onError: reportInBackground })
  const opened =
    options.api === undefined
      ? tailBroker(broker, filter, options.heads === true, printer)
      : openFeedTail({
          broker,
          filter,
          root: trimUrl(options.api),
          beginning: options.after ?? 'now',
          headers: options.header ?? {},
          signal: stop.signal,
          onMessage: printer.message,
          onHead: options.heads ? printer.head : () => {},
        }).catch(error => {
          throw withAdvice(error)
        })
  const listening = opened.then(() => {
    printNotice(paintError('dim', `Listening to ${filter} on ${showUrl(options.broker)}. Ctrl-C ends it.`))
  })
  // Where the broker is down, the subscription is waited for until somebody stops it.
  await Promise.race([stop.promise, listening])
  await stop.promise
}

/** What the broker delivers, as it comes. */
async function tailBroker(broker: Broker, filter: string, heads: boolean, printer: Printer): Promise<void> {
  await broker.subscribe([filter, ...(heads ? headFilters(filter) : [])], delivery => {
    const { topic, payload } = delivery
    const read = readDelivery(delivery)
    if (read.kind === 'message') printer.message(topic, read.message)
    else if (read.kind === 'foreign') printer.foreign(topic, payload)
    else if (heads) printer.head(topic, read.head)
  })
}

/**
 * The heads of what the filter takes. Where the topics have a prefix is not known, so each level may be the
 * first one behind it.
 */
function headFilters(filter: string): string[] {
  const levels = filter.split('/')
  const end = levels.includes('#') ? levels.indexOf('#') : levels.length
  return levels.slice(0, end).map((level, index) => {
    const prefix = levels
      .slice(0, index)
      .map(each => `${each}/`)
      .join('')
    return headTopic(level, prefix)
  })
}

interface Printer {
  message(topic: string, message: Message): void
  head(topic: string, head: Head): void
  foreign(topic: string, payload: string): void
}

/** Topics up to this length stand in a column. */
const maxTopicWidth = 40

/** Prints as asked for, and ends the command after so many lines. */
function createPrinter({ json, count = Number.POSITIVE_INFINITY }: TailOptions, onEnd: () => void): Printer {
  let printed = 0
  const print = (line: () => string): void => {
    if (printed >= count) return
    printLine(line())
    printed++
    if (printed >= count) onEnd()
  }
  let topicWidth = 0
  const line = (topic: string): LineOptions => {
    topicWidth = Math.max(topicWidth, Math.min(topic.length, maxTopicWidth))
    return { paint: paintOut, width: lineWidth(), topicWidth, nowMs: Date.now() }
  }
  return {
    message: (topic, message) =>
      print(() => (json ? formatJsonLine(message) : formatMessageLine(topic, message, line(topic)))),
    head: (topic, head) =>
      print(() => (json ? formatJsonLine(head) : formatHeadLine(topic, head, line(topic)))),
    foreign(topic, payload) {
      if (json) printNotice(formatForeignLine(topic, payload, { ...line(topic), paint: paintError }))
      else print(() => formatForeignLine(topic, payload, line(topic)))
    },
  }
}
