/**
 * A TypeScript file of an API: its types, its operations with a small typed client, its messages by topic, and the type that
 * followers take. It imports nothing and its syntax is erasable.
 */
import { isJsonObject, type Json, type JsonObject } from '../../contract/index.ts'
import { listOperations } from './operation-list.ts'
import { follow } from './reference-walk.ts'
import { objectOf } from './site.ts'
import { formatComment, formatName, formatType, nameTypes, type TypeNames } from './typescript-text.ts'

/** Makes the text of the file. The documents MUST be OpenAPI 3.1 and AsyncAPI 3. */
export function formatTypesFile(openApi: JsonObject, asyncApi?: JsonObject): string {
  const schemas = {
    ...objectOf(objectOf(asyncApi?.['components'])['schemas']),
    ...objectOf(objectOf(openApi['components'])['schemas']),
  }
  const names = nameTypes(Object.keys(schemas))
  const { title, version } = objectOf(openApi['info'])
  const types = Object.entries(schemas).map(
    ([name, schema]) =>
      `${formatComment(objectOf(schema)['description'])}export type ${names.get(name)} = ${formatType(schema, names)}\n`,
  )
  return [
    `/** ${formatComment(`${title} ${version}`).trim().slice(4, -3)}: made by lockstep docs types; do not edit. */\n`,
    ...types,
    formatOperations(openApi, names),
    formatApis(openApi, names),
    asyncApi === undefined ? '' : formatMessages(asyncApi, names),
    client,
  ]
    .filter(text => text !== '')
    .join('\n')
}

function formatOperations(document: JsonObject, names: TypeNames): string {
  const entries = listOperations(document).map(({ path, method, operation }) => {
    const id = String(operation['operationId'] ?? `${method} ${path}`)
    const item = objectOf(objectOf(document['paths'])[path])
    const parameters = [item['parameters'], operation['parameters']]
      .flatMap(list => (Array.isArray(list) ? list : []))
      .map(each => objectOf(follow(document, each)))
    const responses = Object.entries(objectOf(operation['responses'])).map(([status, given]) => {
      const code = /^\d{3}$/.test(status) ? status : status === 'default' ? '0' : JSON.stringify(status)
      return `    ${code}: ${formatContent(document, objectOf(follow(document, given))['content'], names)}`
    })
    const body = objectOf(follow(document, operation['requestBody']))
    const mark = body['required'] === true ? '' : '?'
    const lines = [
      `  ${JSON.stringify(id)}: {`,
      `    method: ${JSON.stringify(method.toUpperCase())}`,
      `    path: ${JSON.stringify(path)}`,
      `    parameters: ${formatParameters(parameters, names)}`,
      ...(body['content'] === undefined
        ? []
        : [`    body${mark}: ${formatContent(document, body['content'], names)}`]),
      `    responses: {`,
      ...responses.map(line => `  ${line}`),
      `    }`,
      `  }`,
    ]
    return `${formatComment(operation['summary'], '  ')}${lines.join('\n')}`
  })
  const places = listOperations(document).map(({ path, method, operation }) => {
    const id = String(operation['operationId'] ?? `${method} ${path}`)
    return `  ${JSON.stringify(id)}: [${JSON.stringify(method.toUpperCase())}, ${JSON.stringify(path)}],`
  })
  return `/** Every operation by its id. */\nexport interface Operations {\n${entries.join('\n')}\n}\n\nconst places: { readonly [Id in keyof Operations]: readonly [method: string, path: string] } = {\n${places.join('\n')}\n}\n`
}

function formatContent(document: JsonObject, content: Json | undefined, names: TypeNames): string {
  const types = Object.entries(objectOf(content)).map(([type, media]) => {
    const isJson = /[/+]json\b/.test(type)
    return isJson ? formatType(objectOf(follow(document, media))['schema'], names, '    ') : 'string'
  })
  return types.length === 0 ? 'undefined' : [...new Set(types)].join(' | ')
}

function formatParameters(parameters: readonly JsonObject[], names: TypeNames): string {
  const groups = ['path', 'query', 'header'].flatMap(place => {
    const own = parameters.filter(each => each['in'] === place)
    if (own.length === 0) return []
    const isRequired = own.some(each => each['required'] === true)
    const members = own.map(({ name, required, schema, explode, style }) => {
      const isSpread =
        place === 'query' && explode === true && style === 'form' && objectOf(schema)['type'] === 'object'
      return `${formatName(String(name))}${required === true ? '' : '?'}: ${isSpread ? 'Readonly<Record<string, string>>' : formatType(schema, names, '      ')}`
    })
    return [`${place}${isRequired ? '' : '?'}: { ${members.join('; ')} }`]
  })
  return groups.length === 0 ? 'Record<string, never>' : `{ ${groups.join('; ')} }`
}

/** By the root of each service: the collections that may be followed, as `connect<Api>` takes them. */
function formatApis(document: JsonObject, names: TypeNames): string {
  const paths = Object.keys(objectOf(document['paths']))
  const roots = [
    ...new Set(
      paths.filter(path => path.endsWith('/_changes')).map(path => path.replace(/\/[^/]+\/_changes$/, '')),
    ),
  ]
  if (roots.length === 0) return ''
  const apis = roots.map(root => {
    const members = paths.flatMap(path => {
      const below = path.slice(root.length + 1)
      const [, template] = path.startsWith(`${root}/`)
        ? (/^((?:[\w-]+\/\{\w+\}\/)*[\w-]+)\/\{\w+\}$/.exec(below) ?? [])
        : []
      const state = template === undefined ? undefined : stateOf(document, path)
      return state === undefined
        ? []
        : [`    ${JSON.stringify(template)}: ${formatType(state, names, '    ')}`]
    })
    return `  ${JSON.stringify(root)}: {\n${members.join('\n')}\n  }`
  })
  return `/** What can be followed below each root: \`connect<Apis['${roots[0]}']>({ api })\`. */\nexport interface Apis {\n${apis.join('\n')}\n}\n\n/** What can be followed below the first root. */\nexport type Api = Apis[${JSON.stringify(roots[0])}]\n`
}

/** The whole state, which a read shows before its views. */
function stateOf(document: JsonObject, path: string): Json | undefined {
  const read = objectOf(objectOf(objectOf(document['paths'])[path])['get'])
  const ok = objectOf(follow(document, objectOf(read['responses'])['200']))
  const { schema } = objectOf(objectOf(ok['content'])['application/json'])
  const { anyOf } = objectOf(schema)
  return Array.isArray(anyOf) ? anyOf[0] : undefined
}

function formatMessages(document: JsonObject, names: TypeNames): string {
  const channels = Object.values(objectOf(document['channels'])).flatMap(given => {
    const channel = objectOf(given)
    const types = Object.values(objectOf(channel['messages'])).flatMap(each => {
      const message = objectOf(follow(document, each))
      return isJsonObject(message) ? [formatType(message['payload'], names, '  ')] : []
    })
    return types.length === 0
      ? []
      : [`  ${JSON.stringify(String(channel['address']))}: ${[...new Set(types)].join(' | ')}`]
  })
  return `/** By the address of a topic or stream: what comes there. */\nexport interface Messages {\n${channels.join('\n')}\n}\n`
}

const client = `/** What an operation answers, told apart by its status. */
export type Answer<Id extends keyof Operations> = {
  [Status in keyof Operations[Id]['responses']]: { readonly status: Status; readonly headers: Headers; readonly body: Operations[Id]['responses'][Status] }
}[keyof Operations[Id]['responses']]

type Input<Id extends keyof Operations> = Operations[Id]['parameters'] & (Operations[Id] extends { body: infer Body } ? { body: Body } : Operations[Id] extends { body?: infer Body } ? { body?: Body } : unknown) & {
  readonly contentType?: string
  readonly signal?: AbortSignal
}

export interface ClientOptions {
  /** What stands before the paths: \`https://api.example.com\`. */
  readonly api: string
  /** Sent with each request. */
  readonly headers?: () => Record<string, string>
  readonly fetch?: (request: Request) => Promise<Response>
}

/** Calls operations by their ids; rejects only where no answer came. */
export type Client = <Id extends keyof Operations>(id: Id, input: Input<Id>) => Promise<Answer<Id>>

export function createClient({ api, headers = () => ({}), fetch: send = fetch }: ClientOptions): Client {
  return async (id, input) => {
    const [method, template] = places[id]
    const { path = {}, query = {}, header = {}, body, contentType = 'application/json', signal } = input as {
      path?: Record<string, unknown>
      query?: Record<string, unknown>
      header?: Record<string, unknown>
      body?: unknown
      contentType?: string
      signal?: AbortSignal
    }
    const url = new URL(api.replace(/\\/+$/, '') + template.replaceAll(/\\{([^}]+)\\}/g, (_all, name: string) => encodeURIComponent(String(path[name]))))
    const add = (name: string, value: unknown): void => {
      if (Array.isArray(value)) for (const each of value) add(name, each)
      else if (typeof value === 'object' && value !== null) for (const [key, each] of Object.entries(value)) add(key, each)
      else if (value !== undefined) url.searchParams.append(name, String(value))
    }
    for (const [name, value] of Object.entries(query)) add(name, value)
    const sent = new Headers({ accept: 'application/json', ...headers() })
    for (const [name, value] of Object.entries(header)) if (value !== undefined) sent.set(name, String(value))
    if (body !== undefined) sent.set('content-type', contentType)
    const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body)
    const response = await send(new Request(url, { method, headers: sent, body: text, signal }))
    const answered = await response.text()
    const isJson = /[/+]json\\b/.test(response.headers.get('content-type') ?? '')
    return { status: response.status, headers: response.headers, body: answered === '' ? undefined : isJson ? JSON.parse(answered) : answered } as never
  }
}
`
