/** What `lockstep check` is given: documents of an API, or a file of its resources. */
import {
  type MessageSchemas,
  type Outline,
  readMessageSchemas,
  readOpenApiOutline,
  readResourcesFile,
} from 'lockstep/check'
import { isJsonObject, type Json, type JsonObject, LockstepError } from 'lockstep/contract'
import { parse as parseYaml } from 'yaml'
import { askApi } from './api-request.ts'
import { readFileText } from './file-text.ts'

export interface CheckInputOptions {
  /** The API root. */
  readonly api: string
  readonly headers: Readonly<Record<string, string>>
  readonly spec?: string
  readonly asyncapi?: string
  readonly resources?: string
}

export interface CheckInput {
  readonly outline: Outline
  readonly schemas: MessageSchemas | undefined
}

const maxBytes = 16 * 1024 * 1024

/** Reads what there is: what was given must be there, what the API may serve need not. Errors: `invalid-option`, `api-unreachable`. */
export async function readCheckInput(options: CheckInputOptions): Promise<CheckInput> {
  const { api, headers, spec, asyncapi, resources } = options
  const messages = await (asyncapi === undefined
    ? readServed(`${api}/_asyncapi`, headers)
    : readGiven(asyncapi, headers))
  const schemas =
    messages === undefined ? undefined : readMessageSchemas(messages, asyncapi ?? `${api}/_asyncapi`)
  if (resources !== undefined) {
    return { outline: readResourcesFile(await readContent(resources), resources), schemas }
  }
  const document = await (spec === undefined
    ? readServed(`${api}/_openapi`, headers)
    : readGiven(spec, headers))
  if (document === undefined) {
    throw new LockstepError(
      'invalid-option',
      `${api}/_openapi is no OpenAPI document. Give one with --spec, or the resources in a file with --resources: {"resources": [{"path": "/people", "create": {"name": "Ann"}}]}.`,
    )
  }
  return { outline: readOpenApiOutline(document, spec ?? `${api}/_openapi`), schemas }
}

async function readServed(
  url: string,
  headers: Readonly<Record<string, string>>,
): Promise<JsonObject | undefined> {
  const { response, text } = await askApi({ url, headers })
  if (response.status !== 200) return undefined
  const value = parseText(text, url)
  return isJsonObject(value) ? value : undefined
}

async function readGiven(place: string, headers: Readonly<Record<string, string>>): Promise<JsonObject> {
  const isUrl = /^https?:\/\//i.test(place)
  const value = isUrl ? await readServed(place, headers) : await readContent(place)
  if (isJsonObject(value)) return value
  throw new LockstepError('invalid-option', `${place} holds no JSON or YAML object.`)
}

async function readContent(path: string): Promise<Json> {
  const text = await readFileText(path, { maxBytes, insteadOfMore: 'Give a part of it.' })
  if (text === undefined) throw new LockstepError('invalid-option', `${path} is not there.`)
  return parseText(text, path)
}

/** YAML is a superset of JSON. */
function parseText(text: string, place: string): Json {
  try {
    return parseYaml(text) as Json
  } catch (cause) {
    throw new LockstepError(
      'invalid-option',
      `${place} is neither JSON nor YAML: ${(cause as Error).message}`,
      {
        cause,
      },
    )
  }
}
