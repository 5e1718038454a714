/** Documents that the command line is given: files or URLs, of any age, each brought to OpenAPI 3.1 or AsyncAPI 3. */
import { basename, dirname, extname, join, resolve } from 'node:path'
import { type JsonObject, LockstepError, quote } from 'lockstep/contract'
import {
  bundleFile,
  kindOf,
  listDeclarations,
  listReferences,
  parseDocumentText,
  upgradeOpenApi,
} from 'lockstep/documents'
import { readFileText } from './file-text.ts'

export interface DocsInput {
  /** As it was given. */
  readonly name: string
  /** What it may be called as a service: `users` for `docs/users.yaml`. */
  readonly service: string
  readonly kind: 'openapi' | 'asyncapi'
  readonly document: JsonObject
}

const maxBytes = 33_554_432

/** Reads one. Errors: `invalid-option`, those of reading. */
export async function readDocsInput(name: string): Promise<DocsInput> {
  const isUrl = /^https?:\/\//.test(name)
  const file = isUrl ? name : resolve(name)
  const document = parseDocumentText(name, isUrl ? await readUrl(name) : await readFile(file, name))
  const kind = kindOf(document)
  const service = (isUrl ? new URL(name).hostname : basename(file, extname(file))).replaceAll(
    /[^A-Za-z0-9_-]+/g,
    '-',
  )
  if (kind === 'asyncapi-3') return { name, service, kind: 'asyncapi', document }
  if (kind === 'asyncapi-2') {
    throw new LockstepError(
      'invalid-option',
      `${name} is AsyncAPI 2. Give AsyncAPI 3; converters of that project do it.`,
    )
  }
  const isSplit = !isUrl && [...listReferences(document)].some(reference => !reference.startsWith('#'))
  const whole = isSplit ? await bundleFile(file) : document
  const declarations: Record<string, JsonObject> = {}
  if (kind === 'swagger-1.2' && !isUrl) {
    for (const path of listDeclarations(document)) {
      const own = join(dirname(file), `${basename(path)}${extname(file)}`)
      declarations[path] = parseDocumentText(own, await readFile(own, own))
    }
  }
  return { name, service, kind: 'openapi', document: await upgradeOpenApi(name, whole, declarations) }
}

async function readFile(path: string, name: string): Promise<string> {
  const text = await readFileText(path, { maxBytes, insteadOfMore: 'Split it.' })
  if (text !== undefined) return text
  throw new LockstepError('invalid-option', `There is no file ${quote(name)}. Check its path.`)
}

async function readUrl(url: string): Promise<string> {
  let response: Response
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(30_000) })
  } catch (cause) {
    throw new LockstepError('api-unreachable', `${url} cannot be reached.`, { cause })
  }
  if (!response.ok) throw new LockstepError('api-refused', `${url} was answered with ${response.status}.`)
  return await response.text()
}
