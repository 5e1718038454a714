/** `lockstep docs`: pages, checks and types, made of documents of APIs and messages. Each works on files as well as on URLs. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { LockstepError, quote } from 'lockstep/contract'
import {
  buildMarkdown,
  buildSite,
  compareAsyncApi,
  compareOpenApi,
  type Finding,
  formatTypesFile,
  joinAsyncApi,
  joinOpenApi,
  lintDocument,
  type Part,
} from 'lockstep/documents'
import { type DocsInput, readDocsInput } from './docs-input.ts'
import { exitCodes } from './failure.ts'
import { reasonOfSystem } from './system-failure.ts'
import { formatJsonLine, paintOut, printable, printLine, printNotice } from './terminal.ts'

const examples = `
Examples:
  $ lockstep docs build openapi.yaml asyncapi.yaml --out site
  $ lockstep docs build http://127.0.0.1:3001/_openapi http://127.0.0.1:3001/_asyncapi --out site
  $ lockstep docs check openapi.yaml --against released/openapi.yaml
  $ lockstep docs types openapi.yaml --asyncapi asyncapi.yaml --out api.ts`

export function declareDocs(program: Command): void {
  const docs = program
    .command('docs')
    .description('build pages, check for faults and breaking changes, and make types of API documents')
    .addHelpText('after', examples)
  docs
    .command('build')
    .description('make pages that read without a server and without JavaScript')
    .argument('<document...>', 'OpenAPI (or Swagger) and AsyncAPI documents: files or URLs')
    .requiredOption('--out <folder>', 'where to write them; required')
    .option('--markdown', 'write Markdown in place of HTML')
    .option('--title <title>', 'the title of several documents together', 'API')
    .action(build)
  docs
    .command('check')
    .description('lint a document, and find what an earlier one had and it has not')
    .argument('<document>', 'OpenAPI or AsyncAPI document: a file or URL')
    .option('--against <earlier>', 'the earlier document')
    .option('--no-lint', 'compare only')
    .option('--json', 'print the findings as JSON')
    .action(check)
  docs
    .command('types')
    .description('make TypeScript types, with a small client')
    .argument('<openapi>', 'OpenAPI document: a file or URL')
    .option('--asyncapi <document>', 'AsyncAPI document, for the types of messages')
    .option('--out <file>', 'where to write them; else on standard output')
    .action(types)
}

interface BuildOptions {
  readonly out: string
  readonly markdown?: boolean
  readonly title: string
}

async function build(names: readonly string[], { out, markdown, title }: BuildOptions): Promise<void> {
  const inputs = await readInputs(names)
  const [openApi, asyncApi] = joinInputs(inputs, title)
  const files = markdown ? buildMarkdown(openApi, asyncApi) : buildSite(openApi, asyncApi)
  let count = 0
  await writing(out, async () => {
    await mkdir(out, { recursive: true })
    for (const [name, text] of files) {
      await writeFile(join(out, name), text)
      count++
    }
  })
  printNotice(`${count} files are in ${out}. Begin with ${markdown ? 'README.md' : 'index.html'}.`)
}

/** Errors: `invalid-option` where the operating system refuses. */
async function writing(out: string, write: () => Promise<void>): Promise<void> {
  try {
    await write()
  } catch (error) {
    const reason = reasonOfSystem(error)
    if (reason === undefined) throw error
    throw new LockstepError('invalid-option', `${out} cannot be written: ${reason}. Give another --out.`, {
      cause: error,
    })
  }
}

/** One after the other, so that a wrong one is named. */
async function readInputs(names: readonly string[]): Promise<DocsInput[]> {
  const inputs: DocsInput[] = []
  for (const name of names) inputs.push(await readDocsInput(name))
  return inputs
}

/** One document of each kind stays as it is; several are joined, each under the name of its file. */
function joinInputs(
  inputs: readonly DocsInput[],
  title: string,
): [Part['openApi'] & object, Part['asyncApi']] {
  const openApis = inputs.filter(({ kind }) => kind === 'openapi')
  const asyncApis = inputs.filter(({ kind }) => kind === 'asyncapi')
  if (openApis.length <= 1 && asyncApis.length <= 1) {
    const asyncApi = asyncApis[0]?.document
    const info = asyncApi?.['info'] ?? { title, version: '1.0.0' }
    return [openApis[0]?.document ?? { openapi: '3.1.1', info, paths: {} }, asyncApi]
  }
  const openParts = nameParts(openApis).map(([service, openApi]) => ({ service, openApi }))
  const asyncParts = nameParts(asyncApis).map(([service, asyncApi]) => ({ service, asyncApi }))
  const openApi = joinOpenApi(openParts, { root: '', title }).document
  const asyncApi =
    asyncParts.length === 0 ? undefined : joinAsyncApi(asyncParts, { root: '', title }).document
  return [openApi, asyncApi]
}

function nameParts(inputs: readonly DocsInput[]): (readonly [string, DocsInput['document']])[] {
  const taken = new Set<string>()
  return inputs.map(({ service, document }) => {
    let name = service
    for (let count = 2; taken.has(name); count++) name = `${service}-${count}`
    taken.add(name)
    return [name, document] as const
  })
}

interface CheckOptions {
  readonly against?: string
  readonly lint: boolean
  readonly json?: boolean
}

async function check(name: string, { against, lint, json }: CheckOptions): Promise<void> {
  const input = await readDocsInput(name)
  const findings: Finding[] = lint ? [...(await lintDocument(input.document))] : []
  if (against !== undefined) {
    const earlier = await readDocsInput(against)
    if (earlier.kind !== input.kind) {
      throw new LockstepError(
        'invalid-option',
        `${quote(name)} and ${quote(against)} are not of the same kind. Give two of one.`,
      )
    }
    const compare = input.kind === 'openapi' ? compareOpenApi : compareAsyncApi
    findings.push(...compare(earlier.document, input.document))
  }
  const count = (severity: Finding['severity']): number =>
    findings.filter(each => each.severity === severity).length
  if (json) printLine(formatJsonLine({ ok: count('breaking') === 0, document: name, findings }).trimEnd())
  else for (const finding of findings) printFinding(finding)
  if (!json)
    printNotice(
      `${count('breaking')} breaking, ${count('warning')} warnings, ${count('info')} other changes.`,
    )
  process.exitCode = count('breaking') === 0 ? exitCodes.ok : exitCodes.failure
}

const colours = { breaking: 'red', warning: 'yellow', info: 'cyan' } as const

function printFinding({ severity, rule, pointer, detail }: Finding): void {
  printLine(
    `${paintOut(colours[severity], severity.padEnd(8))} ${rule}  ${printable(pointer)}\n         ${printable(detail)}`,
  )
}

interface TypesOptions {
  readonly asyncapi?: string
  readonly out?: string
}

async function types(name: string, { asyncapi, out }: TypesOptions): Promise<void> {
  const openApi = await readDocsInput(name)
  const asyncApi = asyncapi === undefined ? undefined : await readDocsInput(asyncapi)
  if (openApi.kind !== 'openapi' || (asyncApi !== undefined && asyncApi.kind !== 'asyncapi')) {
    throw new LockstepError(
      'invalid-option',
      'Give the OpenAPI document first, and the AsyncAPI document with --asyncapi.',
    )
  }
  const text = formatTypesFile(openApi.document, asyncApi?.document)
  if (out === undefined) printLine(text.trimEnd())
  else {
    await writing(out, () => writeFile(out, text))
    printNotice(`The types are in ${out}.`)
  }
}
