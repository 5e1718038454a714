/** The documents as Markdown: a file for the contents, and one per page with its operations and messages. */
import { isJsonObject, type Json, type JsonObject } from '../../contract/index.ts'
import { firstExample, formatExample, isBrief } from './operation-view.ts'
import { follow } from './reference-walk.ts'
import {
  createSite,
  type MessageEntry,
  type OperationEntry,
  objectOf,
  type Site,
  type SitePage,
} from './site.ts'

/** Gives each file by its name. */
export function* buildMarkdown(
  openApi: JsonObject,
  asyncApi?: JsonObject,
): Generator<readonly [name: string, text: string]> {
  const site = createSite(openApi, asyncApi)
  yield ['README.md', writeContents(site)]
  for (const page of site.pages) yield [`${page.slug}.md`, writePage(site, page)]
}

function writeContents(site: Site): string {
  const lines = [`# ${plain(site.title)} ${plain(site.version)}`, '', site.description, '']
  for (const { slug, group, title, operations, messages } of site.pages) {
    lines.push(`## [${plain(group === '' ? title : `${group} / ${title}`)}](${slug}.md)`, '')
    for (const { anchor, method, path, summary } of operations.filter(entry => !isBrief(entry)))
      lines.push(`* [\`${method.toUpperCase()} ${code(path)}\`](${slug}.md#${anchor}) ${plain(summary)}`)
    for (const { anchor, title: name, places } of messages)
      lines.push(`* [\`${code(places[0]?.address ?? '')}\`](${slug}.md#${anchor}) ${plain(name)}`)
    lines.push('')
  }
  return `${lines.join('\n').trimEnd()}\n`
}

function writePage(site: Site, { title, description, operations, messages }: SitePage): string {
  const parts = [
    `# ${plain(title)}`,
    description,
    ...operations.filter(entry => !isBrief(entry)).map(entry => writeOperation(site, entry)),
    ...messages.map(writeMessage),
  ]
  return `${parts.filter(part => part !== '').join('\n\n')}\n`
}

function writeOperation({ openApi }: Site, entry: OperationEntry): string {
  const { anchor, method, path, summary, operation, parameters, messages } = entry
  const lines = [
    `<a id="${anchor}"></a>`,
    '',
    `## ${plain(summary)}`,
    '',
    `\`${method.toUpperCase()} ${code(path)}\``,
  ]
  if (operation['deprecated'] === true) lines.push('', '**Deprecated.**')
  if (typeof operation['description'] === 'string') lines.push('', operation['description'])
  if (parameters.length > 0) {
    lines.push('', '| parameter | in | | |', '|---|---|---|---|')
    for (const parameter of parameters) {
      const needed = parameter['required'] === true ? 'required' : ''
      lines.push(
        `| \`${code(String(parameter['name']))}\` | ${parameter['in']} | ${needed} | ${cell(parameter['description'])} |`,
      )
    }
  }
  const body = objectOf(follow(openApi, operation['requestBody']))
  lines.push(...writeContent(openApi, 'Body', body['content']))
  if (messages.length > 0) {
    lines.push('', 'Messages:', '')
    for (const { name, address, href } of messages)
      lines.push(
        `* ${href === undefined ? plain(name) : `[${plain(name)}](${href.replace('.html#', '.md#')})`} on \`${code(address)}\``,
      )
  }
  lines.push('', '| status | |', '|---|---|')
  for (const [status, given] of Object.entries(objectOf(operation['responses'])))
    lines.push(`| ${status} | ${cell(objectOf(follow(openApi, given))['description'])} |`)
  return lines.join('\n')
}

function writeContent(document: JsonObject, title: string, content: Json | undefined): string[] {
  return Object.entries(objectOf(content)).flatMap(([type, media]) => {
    const { schema, example, examples } = objectOf(media)
    const shown = example ?? firstExample(document, examples)
    const { $ref } = objectOf(schema)
    const name = typeof $ref === 'string' ? `, ${$ref.split('/').at(-1)}` : ''
    const lines = ['', `${title} (\`${code(type)}\`${name})`]
    return shown === undefined ? lines : [...lines, '', ...fence(formatExample(shown))]
  })
}

function writeMessage({ anchor, title, message, places }: MessageEntry): string {
  const lines = [`<a id="${anchor}"></a>`, '', `## ${plain(title)}`]
  for (const text of [message['summary'], message['description']])
    if (typeof text === 'string') lines.push('', text)
  lines.push('')
  for (const { address, causes } of places) {
    const from = causes.length === 0 ? '' : `, caused by ${causes.map(({ id }) => plain(id)).join(', ')}`
    lines.push(`* \`${code(address)}\`${from}`)
  }
  const { examples } = message
  for (const example of Array.isArray(examples) ? examples.slice(0, 2) : [])
    if (isJsonObject(example) && example['payload'] !== undefined)
      lines.push('', ...fence(formatExample(example['payload'])))
  return lines.join('\n')
}

/** A fence that is longer than any in the text. */
function fence(text: string): string[] {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([ticks]) => ticks.length))
  const ticks = '`'.repeat(longest + 1)
  return [`${ticks}json`, text, ticks]
}

/** A text in which nothing is markup. */
function plain(text: string): string {
  return text.replaceAll(/[\\`*_[\]<>|#]/g, '\\$&').replaceAll(/\s+/g, ' ')
}

function code(text: string): string {
  return text.replaceAll(/[`\n|]/g, ' ')
}

function cell(text: Json | undefined): string {
  return typeof text === 'string' ? text.replaceAll(/\s+/g, ' ').replaceAll('|', '\\|').trim() : ''
}
