/** The parameters and headers that operations share, as components. PROTOCOL.md §4, §5 and §10. */
import type { JsonObject } from '../../contract/index.ts'
import { maxPageSize, type Resource } from '../resource.ts'
import { findMember, listNames, typesOf } from '../schema-member.ts'

const text: JsonObject = { type: 'string' }

function query(name: string, description: string, schema: JsonObject): JsonObject {
  return { name, in: 'query', description, schema }
}

function header(name: string, description: string, schema: JsonObject = text): JsonObject {
  return { name, in: 'header', description, schema }
}

/** By component name. */
export const parameterComponents: JsonObject = {
  limit: query('limit', 'How many items at most.', { type: 'integer', minimum: 1, maximum: maxPageSize }),
  after: query('after', 'The id to go on after, in a list without `sort`.', text),
  cursor: query('cursor', 'The place to go on from, in a list with `sort`: take it from `Link`.', text),
  versions: query('versions', "Asks for the items' versions in `Lockstep-Versions`.", {
    type: 'boolean',
    default: false,
  }),
  count: query('count', 'Asks for the number of all items that match, in `Lockstep-Count`.', {
    type: 'boolean',
    default: false,
  }),
  sort: query(
    'sort',
    'Member paths with commas between, `-` before one for the greatest first: `-priority,name`.',
    text,
  ),
  fields: query('fields', 'Only these members and the id: member paths with commas between.', text),
  embed: query(
    'embed',
    'What is referred to and is shown with it: names of references with commas between.',
    text,
  ),
  where: {
    name: 'where',
    in: 'query',
    description:
      'Conditions on members of the items, of which all must hold: `age:gte=18`, `address/city=Oslo`. The name is a member path, with an operator behind a colon: `eq` (or none), `ne`, `lt`, `lte`, `gt`, `gte`, `in`, `has`, `starts`, `exists`.',
    style: 'form',
    explode: true,
    schema: { type: 'object', maxProperties: 20, additionalProperties: { type: 'string' } },
  },
  position: query(
    'after',
    '`epoch:seq`, a whole position, `earliest` or `now`: the changes behind it. The default is `earliest` for JSON and `now` for an event stream.',
    text,
  ),
  changesLimit: query('limit', 'How many changes at most.', {
    type: 'integer',
    minimum: 1,
    maximum: 10_000,
    default: 500,
  }),
  under: query('under', 'Only changes of this path and of what is below it: `/people/johndoe`.', text),
  compact: query('compact', 'At most one change per resource, the latest.', {
    type: 'boolean',
    default: false,
  }),
  'If-Match': header('If-Match', 'Only if the resource is at one of these ETags; `*` for any that is there.'),
  'If-None-Match': header('If-None-Match', 'Not if it is at one of these ETags; `*`: only if there is none.'),
  'Idempotency-Key': header(
    'Idempotency-Key',
    'Makes the write one that may be sent again: it is made once under a key.',
    {
      type: 'string',
      minLength: 1,
      maxLength: 257,
    },
  ),
  'X-Request-Id': header(
    'X-Request-Id',
    'Comes back in the response, and as `cause` in the messages of the write.',
    {
      type: 'string',
      minLength: 1,
      maxLength: 128,
    },
  ),
  'Accept-Language': header('Accept-Language', 'In which language texts are shown; `*` for all.'),
  'Last-Event-ID': header('Last-Event-ID', 'Where an event stream goes on: the position of the last event.'),
}

/** The names of the response headers, and what each says. */
const headers: Readonly<Record<string, string>> = {
  ETag: 'The version of what is shown: `"epoch.version"`.',
  'Lockstep-Marker': 'The response holds every change up to these positions: `people:k3f9:1042`.',
  'Lockstep-Topic': 'The MQTT topic on which changes of this path are told.',
  Link: '`rel="changes"`: the feed; `rel="next"`: the next page; `rel="embedded"`: what a reference leads to.',
  'Lockstep-Versions': "The items' versions in their order, with commas between.",
  'Lockstep-Count': 'How many items match in all.',
  'Lockstep-Languages': 'The languages of the texts, the default first.',
  'Lockstep-Texts': 'The member paths of what is a text in several languages.',
  'Content-Language': 'The languages that are shown, the chosen one first.',
  Vary: 'What the response was chosen by.',
  Location: 'Where the created resource is.',
  'X-Request-Id': 'The id of the request, and the `cause` of its messages.',
  'Idempotency-Replayed': '`true`: the write was made earlier, under the same key.',
  'Retry-After': 'After how many seconds the same request may succeed.',
  'Accept-Patch': 'The media types of patches.',
  Allow: 'The methods that are allowed.',
  'Cache-Control': 'What caches may do with it.',
}

export const headerComponents: JsonObject = Object.fromEntries(
  Object.entries(headers).map(([name, description]) => [name, { description, schema: text }]),
)

export function parameterReference(name: string): JsonObject {
  return { $ref: `#/components/parameters/${name}` }
}

export function headerReferences(...names: readonly string[]): JsonObject {
  return Object.fromEntries(names.map(name => [name, { $ref: `#/components/headers/${name}` }]))
}

/** `lang` of a resource: its languages, or those of what it embeds. */
export function languageParameter({ texts }: Resource<object>): JsonObject {
  const known = texts.languages.join(', ')
  return query(
    'lang',
    known === ''
      ? 'The language of what is embedded.'
      : `The language of the texts: ${known}; \`*\` for all.`,
    { type: 'string', ...(known === '' ? {} : { examples: [texts.languages[0]!] }) },
  )
}

/** A parameter per member at the top that has one value: `status=open`. Others go by `where`. */
export function memberParameters({ schema }: Resource<object>): JsonObject[] {
  return listNames(schema, []).flatMap((name): JsonObject[] => {
    if (Object.hasOwn(parameterComponents, name) || name === 'lang' || !/^[A-Za-z][\w-]*$/.test(name))
      return []
    const types = typesOf(schema, findMember(schema, [name]))
    const [type] = types ?? []
    if (types?.size !== 1 || typeof type !== 'string' || !['string', 'number', 'boolean'].includes(type))
      return []
    return [query(name, `Only items whose \`${name}\` is this.`, { type })]
  })
}

/** The ids in the path, in their order. */
export function pathParameters(path: string): JsonObject[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name: name!,
    in: 'path',
    required: true,
    description: 'An id.',
    schema: { type: 'string', minLength: 1 },
  }))
}
