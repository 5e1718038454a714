/** What `lockstep serve` says when it runs: what is where, and three commands to try. */
import { relative } from 'node:path'
import { applyMergePatch, encodeSegment, type JsonObject } from 'lockstep/contract'
import { defaultBrokerUrl } from './argument.ts'
import { count } from './first-row.ts'
import type { Seeded } from './seeding.ts'
import type { ServedCollection } from './served-content.ts'
import type { ServedFile } from './served-file.ts'
import type { Paint } from './terminal.ts'
import { alignColumns } from './text-width.ts'

export interface Banner {
  readonly file: ServedFile
  readonly seeded: readonly Seeded[]
  readonly apiUrl: string
  readonly brokerUrl: string
  readonly topicPrefix: string
  readonly readOnly: boolean
  /** The data folder; `undefined` where everything is in memory. */
  readonly data: string | undefined
  readonly paint: Paint
}

export function formatBanner(banner: Banner): string {
  const { file, apiUrl, brokerUrl, paint } = banner
  const where: (readonly string[])[] = file.collections.map(({ resource: { template } }) => [
    template,
    `${apiUrl}/${template}`,
    `topics ${banner.topicPrefix}${template.replaceAll(/\{[^}]*\}/g, '+')}/#`,
    describeRows(banner.seeded.find(seeded => seeded.template === template)),
  ])
  const data = banner.data === undefined ? 'in memory: nothing is kept' : showFolder(banner.data)
  const rows = alignColumns([...where, ['broker', brokerUrl], ['data', data]])
  const tries = listCommands(banner).map(command => `  ${paint('cyan', command)}`)
  return `${paint('bold', `Lockstep serves ${file.name}.`)}

${rows.map(row => `  ${row}`).join('\n')}

Try, each in a terminal of its own:

${tries.join('\n')}

Changes of ${file.name} take effect while this runs. Ctrl-C stops it.`
}

/** How this program was called, so that what is printed can be typed. */
function ownCommand(): string {
  const { npm_lifecycle_event: script, npm_command: command } = process.env
  if (script === 'lockstep') return 'npm run -s lockstep --'
  return command === 'exec' ? 'npx lockstep' : 'lockstep'
}

function listCommands({ file, apiUrl, brokerUrl, topicPrefix, readOnly }: Banner): string[] {
  const collection =
    file.collections.find(({ resource }) => !resource.template.includes('/')) ?? file.collections[0]!
  const { template } = collection.resource
  const url = `${apiUrl}/${template}`
  const broker = brokerUrl === defaultBrokerUrl ? '' : ` --broker ${brokerUrl}`
  return [
    `${ownCommand()} follow ${url}`,
    readOnly ? `curl -i ${url}` : suggestWrite(url, collection),
    `${ownCommand()} tail '${topicPrefix}${template}/#'${broker}`,
  ]
}

/** A write that the schema allows, as far as that can be found by trying. */
function suggestWrite(url: string, { resource, firstRows: [row] }: ServedCollection): string {
  const type = "-H 'content-type: application/json'"
  const patch =
    row &&
    Object.keys(row.state)
      .filter(name => /^(?!id$)[\w-]+$/.test(name) && typeof row.state[name] === 'string')
      .map(name => ({ [name]: 'changed' }))
      .find(changes => resource.validate(applyMergePatch(row.state, changes) as JsonObject).length === 0)
  if (row !== undefined && patch !== undefined) {
    return `curl -X PATCH ${url}/${encodeSegment(row.id)} ${type} -d '${JSON.stringify(patch)}'`
  }
  return `curl -X POST ${url} ${type} -d '{}'`
}

function describeRows(seeded: Seeded | undefined): string {
  if (seeded?.written === undefined) return 'kept'
  return seeded.written === 0 ? 'new' : `new, ${count(seeded.written, 'row')}`
}

/** From where one stands, where that is not further away. */
function showFolder(folder: string): string {
  const path = relative(process.cwd(), folder)
  return path === '' || path.startsWith('..') ? folder : path
}
