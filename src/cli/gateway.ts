/**
 * `lockstep gateway <config>`: the one front door, from a YAML or JSON file, which is read again when it changes.
 *
 * Standard output is the log, a JSON object per request; everything else is said on standard error.
 */
import type { Command } from 'commander'
import {
  type Gateway,
  type GatewayLogEntry,
  type GatewayParts,
  openGateway,
  openGatewayParts,
} from 'lockstep/gateway'
import { explain, reportInBackground } from './failure.ts'
import { watchServedFile } from './file-watch.ts'
import { type GatewayFile, parseGatewayFile, readGatewayFile, readGatewayText } from './gateway-file.ts'
import { fetchReport, formatReport } from './gateway-report.ts'
import { untilStopped } from './stop.ts'
import {
  formatJsonLine,
  paintError,
  printLine,
  printNotice,
  printWarning,
  surviveBrokenPipe,
} from './terminal.ts'

interface GatewayCommandOptions {
  readonly check?: boolean
  readonly report?: boolean
  readonly quiet?: boolean
}

const examples = `
Examples:
  $ lockstep gateway gateway.yaml                routes as the file says, until Ctrl-C
  $ lockstep gateway gateway.yaml --check        only says what is wrong with the file
  $ lockstep gateway gateway.yaml --report       asks the running gateway which routes have what traffic

The smallest file:
  services:
    people:
      instances: [http://127.0.0.1:3001]
then answers http://127.0.0.1:8080/api/v1/people. docs/gateway.md describes the file. Changes of it take effect while the
gateway runs; one that cannot be used changes nothing.`

export function declareGateway(program: Command): void {
  program
    .command('gateway')
    .description('open one front door to several services, from a YAML or JSON file')
    .argument('<config>', 'its configuration')
    .option('--check', 'check the file, and end')
    .option(
      '--report',
      'print which routes are answered by whom, and their traffic, from the running gateway',
    )
    .option('-q, --quiet', 'no line per request')
    .addHelpText('after', examples)
    .action(runGateway)
}

async function runGateway(path: string, options: GatewayCommandOptions): Promise<void> {
  surviveBrokenPipe()
  const file = await readGatewayFile(path)
  if (options.check === true) {
    await closeParts(await openParts(file))
    printNotice(`${file.name} can be used: ${describe(file)}.`)
    return
  }
  if (options.report === true) {
    printLine(formatReport(await fetchReport(file.settings)))
    return
  }
  const stop = untilStopped()
  const log = (entry: GatewayLogEntry): void => printLine(formatJsonLine(entry))
  const gateway = await openGateway({
    settings: file.value,
    folder: file.folder,
    ...(await openParts(file)),
    ...(options.quiet === true ? {} : { onRequest: log }),
    onError: reportInBackground,
  })
  for (const [face, url] of Object.entries(gateway.urls)) printNotice(`${face.padEnd(9)} ${url}`)
  if (gateway.adminUrl !== undefined) printNotice(`admin     ${gateway.adminUrl}`)
  const reload = createGatewayReload(gateway, file)
  const unwatch = watchServedFile(file.path, () => void reload())
  // It may have changed since it was read.
  void reload()
  await stop.promise
  unwatch()
  await gateway.close()
  printNotice('Stopped.')
}

/** Makes what is to be called whenever the file may have changed. It never rejects; one change after the other. */
function createGatewayReload(gateway: Gateway, file: GatewayFile): () => Promise<void> {
  let lastText: string | undefined = file.text
  let lastObstacle = ''
  let running = Promise.resolve()
  const refuse = (reason: string): void => {
    if (reason === lastObstacle) return
    lastObstacle = reason
    const space = reason.includes('\n') ? '\n' : ' '
    printNotice(`${paintError('red', 'lockstep:')} ${reason}${space}The gateway goes on as before.`)
  }
  const reload = async (): Promise<void> => {
    try {
      const text = await readGatewayText(file.path)
      if (text === lastText) return
      if (text === undefined) {
        refuse(`${file.name} is gone.`)
        return
      }
      lastText = text
      const next = parseGatewayFile(file.path, text)
      const parts = await openParts(next)
      const waiting = await gateway.replace(next.value, parts).catch(async error => {
        await closeParts(parts)
        throw error
      })
      lastObstacle = ''
      printNotice(`${file.name} was read again: ${describe(next)}.`)
      for (const name of waiting) printWarning(`${name} takes effect at the next start.`)
    } catch (error) {
      refuse(explain(error))
    }
  }
  return () => {
    running = running.then(reload)
    return running
  }
}

function openParts({ settings, folder }: GatewayFile): Promise<GatewayParts> {
  return openGatewayParts(settings, { folder, onError: reportInBackground })
}

async function closeParts({ admitter, ownPages }: GatewayParts): Promise<void> {
  await admitter?.close()
  await ownPages?.close()
}

function describe({ settings: { services, legacy, faces } }: GatewayFile): string {
  const names = [...services.keys()]
  const parts = [`${names.length} ${names.length === 1 ? 'service' : 'services'}`]
  if (legacy !== undefined) parts.push('a legacy program')
  parts.push(`for ${[...faces.keys()].join(' and ')}`)
  return parts.join(', ')
}
