/**
 * `lockstep doctor <url>`: is all of it there, and does it fit together? One line for each check, and what to do next.
 *
 * It only reads. The checks are in doctor-api.ts, doctor-health.ts and doctor-broker.ts.
 */
import { type Command, Option } from 'commander'
import { parseBrokerUrl, parseHeader, parseHttpUrl, parseSeconds } from './argument.ts'
import { checkEvents, checkFeed, checkProtocol, checkReachable, checkVersions } from './doctor-api.ts'
import { checkBroker } from './doctor-broker.ts'
import { type Check, formatCheck } from './doctor-check.ts'
import { checkHealth } from './doctor-health.ts'
import { exitCodes } from './failure.ts'
import { formatJsonLine, isScreen, paintOut, printLine } from './terminal.ts'

interface DoctorOptions {
  readonly broker?: string
  readonly header?: Readonly<Record<string, string>>
  readonly wait: number
  readonly json?: true
}

const examples = `
Examples:
  $ lockstep doctor http://127.0.0.1:3000/people
  $ lockstep doctor http://127.0.0.1:3000 --broker mqtt://127.0.0.1:1883
  $ lockstep doctor https://example.com/api/v1/people -H 'Authorization: Bearer …' --json

It only reads. The exit code is 0 where nothing is wrong, 1 where something is.`

export function declareDoctor(program: Command): void {
  program
    .command('doctor')
    .description('check an API, its feed and its broker, and say what to do next')
    .argument('<url>', 'a collection or resource, or the API root', parseHttpUrl)
    .addOption(
      new Option('--broker <url>', 'check this broker too').argParser(parseBrokerUrl).env('LOCKSTEP_BROKER'),
    )
    .option('-H, --header <header>', 'send it to the API; may be repeated', parseHeader)
    .option('--wait <seconds>', 'how long to wait for a head, which comes every 5 s', parseSeconds, 6)
    .option('--json', 'print all checks as one JSON object')
    .addHelpText('after', examples)
    .action(doctor)
}

async function doctor(url: URL, options: DoctorOptions): Promise<void> {
  const checks: Check[] = []
  for await (const check of examine(url, options)) {
    checks.push(check)
    if (!options.json) printLine(formatCheck(check, paintOut))
  }
  const failed = checks.filter(({ status }) => status === 'failed').length
  if (options.json) printLine(formatJsonLine({ ok: failed === 0, url: url.href, checks }))
  else printLine(`\n${failed === 0 ? 'Nothing is wrong.' : `${failed} of ${checks.length} checks failed.`}`)
  if (failed > 0) process.exitCode = exitCodes.failure
}

async function* examine(url: URL, options: DoctorOptions): AsyncGenerator<Check> {
  const headers = options.header ?? {}
  const { check, visit } = await checkReachable(url, headers)
  yield check
  if (visit === undefined) return
  const protocol = checkProtocol(visit)
  yield protocol.check
  const { place } = protocol
  if (place === undefined) return
  yield await checkHealth(place, headers)
  const feed = await checkFeed(place, headers)
  yield feed.check
  yield await checkEvents(place, headers)
  yield await checkVersions(visit, place, feed.page, headers)
  if (options.broker === undefined) {
    yield {
      name: 'broker',
      status: 'skipped',
      detail: 'not looked at',
      next: 'Give it with --broker mqtt://….',
    }
    return
  }
  const { broker, wait } = options
  yield* checkBroker({
    url: broker,
    place,
    page: feed.page,
    headers,
    headMs: wait * 1_000,
    onProgress: showProgress,
  })
}

/** A line on standard error that the next one takes the place of; only where a terminal is. */
function showProgress(text: string): void {
  if (isScreen(process.stderr)) process.stderr.write(`\r\u001b[K${text === '' ? '' : `– ${text}`}`)
}
