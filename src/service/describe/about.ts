/** What a description of a service begins with: what the declaration of its resources cannot say by itself. */
import { checkOptions, type JsonObject, LockstepError, quote } from '../../contract/index.ts'
import { type PublicOperation, publicOperations } from '../face.ts'
import type { Resource } from '../resource.ts'

export interface About {
  /** @default 'API' */
  readonly title?: string
  /** Of the API, as its documents call it. @default '1.0.0' */
  readonly version?: string
  /** Markdown. */
  readonly description?: string
  /** Where the broker is, as clients reach it: `mqtts://broker.example.com`. A user or password in it is left out. */
  readonly broker?: string
  /** Where a bridge for live pages answers beside the API: `/live`. */
  readonly live?: string
}

/** What is described. It takes the options of `openService` as they are. */
export interface DescribeOptions {
  readonly resources: readonly Resource<object>[]
  /** What stands before the resources' paths. @default '' */
  readonly root?: string
  /** What stands before the topics. @default '' */
  readonly topicPrefix?: string
  /** What stands before the topics of what the public hears. @default it hears none */
  readonly publicTopicPrefix?: string
  /** @default false */
  readonly readOnly?: boolean
  /** `false`: there are no bulks. */
  readonly bulk?: object | false
  /** Is there `/health`? @default true */
  readonly health?: boolean
  readonly about?: About | false
  /** `public`: only what the resources declare public, as the public sees it. @default 'internal' */
  readonly audience?: Audience
}

/** Who a description is for. */
export type Audience = 'internal' | 'public'

/** The options with their defaults, and a name for the type of each resource. */
export interface Outline {
  readonly root: string
  /** `undefined` where whom it is for hears no topics. */
  readonly topicPrefix: string | undefined
  readonly readOnly: boolean
  readonly hasBulk: boolean
  readonly hasHealth: boolean
  readonly about: About
  readonly isPublicOnly: boolean
  readonly subjects: readonly Subject[]
}

/** One resource with what its descriptions are named by. */
export interface Subject {
  readonly resource: Resource<object>
  /** Begins the name of each schema: `PeopleFriends`. */
  readonly typeName: string
  /** Begins each operation's id: `people.friends`. */
  readonly operationName: string
  /** Of the collection, below the root: `/people/{person}/friends`. */
  readonly listPath: string
  /** Of a resource in it: `/people/{person}/friends/{id}`. */
  readonly itemPath: string
  readonly stream: string
  /** Is the collection at the top of its stream, where the feed is? */
  readonly isTop: boolean
  /** Is it described as the public sees it? */
  readonly isPublicOnly: boolean
  /** Are its messages published, beside the feed? */
  readonly hasTopics: boolean
  /** Who may use an operation, by its name; `undefined` where nobody may whom the description is for. */
  audienceOf(operation: string): Audience | undefined
}

/** Checks what is said about a service. Errors: `invalid-option`. */
export function checkAbout(about: About | false | undefined): About | undefined {
  if (about === false) return undefined
  if (about === undefined) return {}
  checkOptions('about of openService', about, {
    title: true,
    version: true,
    description: true,
    broker: true,
    live: true,
  })
  for (const [name, value] of Object.entries(about)) {
    if (value === undefined || (typeof value === 'string' && value.length <= 10_000)) continue
    throw new LockstepError('invalid-option', `about.${name} is ${quote(value)}. Give a text.`)
  }
  if (about.broker !== undefined && !URL.canParse(about.broker)) {
    throw new LockstepError(
      'invalid-option',
      'about.broker is no URL. Give one, such as "mqtts://broker.example.com".',
    )
  }
  return about
}

export function readOutline(options: DescribeOptions): Outline {
  const { root = '', readOnly = false, bulk, health = true, about } = options
  const isPublicOnly = options.audience === 'public'
  const topicPrefix = isPublicOnly ? options.publicTopicPrefix : (options.topicPrefix ?? '')
  const resources = isPublicOnly ? options.resources.flatMap(showPublic) : options.resources
  const names = new Set<string>()
  const routes = new Set(resources.map(({ route }) => route))
  return {
    root,
    topicPrefix,
    readOnly,
    hasBulk: !readOnly && bulk !== false,
    hasHealth: health && !routes.has('health'),
    about: checkAbout(about) ?? {},
    isPublicOnly,
    subjects: resources.map(resource =>
      readSubject(resource, resources, names, { isPublicOnly, hasTopics: topicPrefix !== undefined }),
    ),
  }
}

function readSubject(
  resource: Resource<object>,
  resources: readonly Resource<object>[],
  names: Set<string>,
  { isPublicOnly, hasTopics }: Pick<Subject, 'isPublicOnly' | 'hasTopics'>,
): Subject {
  const { route, template, face } = resource
  const plain = route
    .split(/[/_-]+/)
    .map(part => part.charAt(0).toUpperCase() + part.slice(1))
    .join('')
  let typeName = /^[A-Za-z]/.test(plain) ? plain : `Type${plain}`
  for (let count = 2; names.has(typeName); count++) typeName = `${plain}${count}`
  names.add(typeName)
  return {
    resource,
    typeName,
    operationName: route.replaceAll('/', '.'),
    listPath: `/${template}`,
    itemPath: `/${template}/{${nameOfId(resource, resources)}}`,
    stream: route.split('/', 1)[0]!,
    isTop: !route.includes('/'),
    isPublicOnly,
    hasTopics,
    audienceOf(operation) {
      const isPublic =
        face !== undefined && (publicNames.get(operation)?.every(each => face.operations.has(each)) ?? false)
      return isPublic ? 'public' : isPublicOnly ? undefined : 'internal'
    },
  }
}

/** What a face must have for each operation, `read` being lists, feed and messages too. */
const publicNames: ReadonlyMap<string, readonly PublicOperation[]> = new Map([
  ...['list', 'read', 'changes', 'messages', 'listHead', 'readHead', 'changesHead'].map(
    name => [name, ['read']] as [string, PublicOperation[]],
  ),
  ...['listOptions', 'itemOptions', 'changesOptions'].map(name => [name, []] as [string, PublicOperation[]]),
  ['create', ['create']],
  ['replace', ['put']],
  ['patch', ['patch']],
  ['delete', ['remove']],
  ['bulk', publicOperations],
  ['bulkOptions', publicOperations],
])

/** The resource as the public sees it; nothing where it sees nothing. */
function showPublic(resource: Resource<object>): Resource<object>[] {
  const { face } = resource
  if (face === undefined) return []
  const { schema, texts, references, validate } = face
  return [{ ...resource, schema, texts, references, validate: (state: JsonObject) => validate(state) }]
}

/** As nested resources call the id of their parent; `id` where there are none. */
function nameOfId({ template }: Resource<object>, resources: readonly Resource<object>[]): string {
  const taken = [...template.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!)
  const begin = `${template}/{`
  const child = resources.find(other => other.template.startsWith(begin))
  const given = child?.template.slice(begin.length).split('}', 1)[0]
  if (given !== undefined && !taken.includes(given)) return given
  return taken.includes('id') ? `${template.split('/').at(-1)!.replaceAll('-', '_')}_id` : 'id'
}
