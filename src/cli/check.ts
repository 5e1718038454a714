/**
 * `lockstep check <api>`: does an API, in whatever language it is written, keep the protocol?
 *
 * It writes to the API and deletes what it made. What is judged is in the part `lockstep/check`; here is what it is given,
 * in check-input.ts, and how it is shown, in check-text.ts.
 */
import { writeFile } from 'node:fs/promises'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { connectMqtt } from 'lockstep/broker'
import { type CheckReport, checkApi, checks, formatJunit } from 'lockstep/check'
import { LockstepError } from 'lockstep/contract'
import { parseBrokerUrl, parseHeader, parseHttpUrl, parseSeconds, showUrl, trimUrl } from './argument.ts'
import { readCheckInput } from './check-input.ts'
import { formatResult, formatSummary, listChecks } from './check-text.ts'
import { exitCodes } from './failure.ts'
import { runShell } from './shell.ts'
import { isScreen, paintOut, printLine, printNotice } from './terminal.ts'

interface CheckCommandOptions {
  readonly broker?: string
  readonly spec?: string
  readonly asyncapi?: string
  readonly resources?: string
  readonly restart?: string
  readonly only?: readonly string[]
  readonly header?: Readonly<Record<string, string>>
  readonly report: 'text' | 'json' | 'junit'
  readonly out?: string
  readonly patience: number
  readonly keep?: true
  readonly list?: true
}

const examples = `
Examples:
  $ lockstep check http://127.0.0.1:3000 --broker mqtt://127.0.0.1:1883
  $ lockstep check http://127.0.0.1:8000 --resources people.json --restart 'docker restart -t 0 people'
  $ lockstep check https://test.example.com/api/v1 --report junit --out check.xml
  $ lockstep check --list

It writes to the API, and deletes in the end what it made: use one for tests. The exit code is 0 where every rule was
kept, 1 where one was not.`

export function declareCheck(program: Command): void {
  program
    .command('check')
    .description('judge an API of any language by the protocol: it writes, listens, and compares')
    .argument('[api]', 'the API root', parseHttpUrl)
    .addOption(
      new Option('--broker <url>', 'judge what this broker delivers too')
        .argParser(parseBrokerUrl)
        .env('LOCKSTEP_BROKER'),
    )
    .option('--spec <file or url>', 'the OpenAPI document; else the API is asked for /_openapi')
    .option('--asyncapi <file or url>', 'the AsyncAPI document; else the API is asked for /_asyncapi')
    .option('--resources <file>', 'the resources in a JSON or YAML file, instead of an OpenAPI document')
    .option('--restart <command>', 'kills the service and starts it again, and comes back')
    .option('--only <check>', 'one check or group, such as feed; may be repeated', parseCheck)
    .option('-H, --header <header>', 'send it to the API; may be repeated', parseHeader)
    .addOption(
      new Option('--report <form>', 'how the report is written')
        .choices(['text', 'json', 'junit'])
        .default('text'),
    )
    .option('--out <file>', 'write the report to this file')
    .option('--patience <seconds>', 'how long to wait for what must come', parseSeconds, 10)
    .option('--keep', 'leave the resources that were made')
    .option('--list', 'list the checks and their rules, and do nothing else')
    .addHelpText('after', examples)
    .action(async (api: URL | undefined, options: CheckCommandOptions, command: Command) => {
      if (options.list) return printLine(listChecks(checks, paintOut))
      if (api === undefined) return command.error("error: missing required argument 'api'")
      if (options.resources !== undefined && options.spec !== undefined)
        return command.error('error: --resources takes the place of --spec. Give one of them.')
      await check(trimUrl(api), options)
    })
}

async function check(api: string, options: CheckCommandOptions): Promise<void> {
  const { broker: url, restart, header: headers = {}, only, patience } = options
  const { outline, schemas } = await readCheckInput({ ...options, api, headers })
  await using broker = url === undefined ? undefined : await connect(url)
  // Where the report itself goes to standard output, nothing else does.
  const isShown = options.report === 'text' || options.out !== undefined
  if (isShown) printLine(`${api}: ${outline.collections.map(({ template }) => template).join(', ')}\n`)
  const report = await checkApi({
    api,
    outline,
    schemas,
    broker,
    headers,
    patienceMs: patience * 1_000,
    keep: options.keep,
    ...(restart === undefined ? {} : { restart: () => runShell(restart) }),
    ...(only === undefined
      ? {}
      : { only: id => only.some(name => id === name || id.startsWith(`${name}.`)) }),
    onProgress(begun, result) {
      if (isScreen(process.stderr))
        process.stderr.write(`\r\u001b[K${result === undefined ? `– ${begun.title}` : ''}`)
      if (result !== undefined && isShown) printLine(formatResult(result, paintOut))
    },
  })
  if (isShown) printLine(`\n${formatSummary(report, paintOut)}`)
  await deliver(report, options)
  if (!report.ok) process.exitCode = exitCodes.failure
}

async function deliver(report: CheckReport, { report: form, out }: CheckCommandOptions): Promise<void> {
  const text =
    form === 'junit'
      ? formatJunit(report)
      : form === 'json'
        ? `${JSON.stringify(report, null, 2)}\n`
        : plain(report)
  if (out !== undefined) {
    await writeFile(out, text)
    printNotice(`The report is in ${out}.`)
  } else if (form !== 'text') process.stdout.write(text)
}

function plain(report: CheckReport): string {
  const asIs = (_style: unknown, text: string): string => text
  return [
    ...report.results.map(result => formatResult(result, asIs)),
    '',
    formatSummary(report, asIs),
    '',
  ].join('\n')
}

const connectMs = 10_000

/** Whoever follows waits for a broker; whoever judges wants to know at once that it is not there. */
async function connect(url: string): Promise<Awaited<ReturnType<typeof connectMqtt>>> {
  const up = Promise.withResolvers<void>()
  const broker = await connectMqtt(url, { onError: error => up.reject(error) })
  const stop = broker.onConnection(connected => connected && up.resolve())
  if (broker.connected) up.resolve()
  const timer = setTimeout(
    () =>
      up.reject(
        new LockstepError(
          'broker-unreachable',
          `${showUrl(url)} did not answer within 10 s. Start the broker, or correct --broker.`,
        ),
      ),
    connectMs,
  )
  try {
    await up.promise
    return broker
  } catch (error) {
    await broker.close()
    throw error
  } finally {
    clearTimeout(timer)
    stop()
  }
}

function parseCheck(text: string, before: readonly string[] = []): string[] {
  if (checks.some(({ id }) => id === text || id.startsWith(`${text}.`))) return [...before, text]
  throw new InvalidArgumentError('There is no such check or group: --list shows them.')
}
