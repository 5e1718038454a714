/**
 * References: members of a resource that hold the ids of others, of the same service or of another one.
 *
 * They say what `?embed=` may ask for. Whether what they lead to is there is not checked when a state is written: between
 * two collections nothing is promised about the order of changes, so that a reference may dangle at any time. PROTOCOL.md §10.
 */
import {
  checkCount,
  checkOptions,
  describeValue,
  formatMemberPath,
  isLockstepError,
  type JsonObject,
  LockstepError,
  type MemberPath,
  maxTimerMs,
  parseMemberPath,
  quote,
} from '../contract/index.ts'
import { findItems, findMember, typesOf } from './schema-member.ts'

/** A collection of another service. */
export interface RemoteCollection {
  /** Where it is: `https://users.example.com/users`. What is behind it is trusted as much as the own database. */
  readonly url: string
  /** Sent with each request, asked for anew each time: a place for tokens. What the own clients send is not passed on. */
  readonly headers?: () => Readonly<Record<string, string>>
  /** How long the embeds of one response may wait for it. @default 2_000 */
  readonly timeoutMs?: number
}

/** By member path: the collection whose ids the member holds, as its name (`people`), its URL, or with settings. */
export type ReferenceOptions = Readonly<Record<string, string | RemoteCollection>>

export interface Reference {
  /** As `?embed=` names it: a member path. */
  readonly name: string
  readonly path: MemberPath
  /** The route of a collection at the top of the same service, or one of another. */
  readonly target: string | Required<RemoteCollection>
}

/** The most references of one resource. */
const maxReferences = 16

/** Errors: `invalid-option`. */
export function readReferences(
  template: string,
  schema: Readonly<JsonObject>,
  options: ReferenceOptions,
): ReadonlyMap<string, Reference> {
  const refuse = (reason: string): LockstepError =>
    new LockstepError('invalid-option', `The references of ${quote(template)} cannot be used: ${reason}.`)
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw refuse(`they are ${describeValue(options)}. Give an object, such as { owner: "people" }`)
  }
  const entries = Object.entries(options)
  if (entries.length > maxReferences) throw refuse(`there are more than ${maxReferences}`)
  // References to one place have one target, so that each resource is read once for all of them.
  const targets = new Map<unknown, Reference['target']>()
  return new Map(
    entries.map(([name, given]) => {
      const path = readPath(name)
      if (path === undefined || formatMemberPath(path) !== name) {
        throw refuse(`${quote(name)} is no member path in its plain form`)
      }
      if (!mayHoldIds(schema, path)) {
        throw refuse(`${quote(name)} is no member of the schema that holds an id or an array of ids`)
      }
      const target = targets.get(given) ?? readTarget(`${quote(name)} of ${quote(template)}`, given)
      targets.set(given, target)
      return [name, { name, path, target }]
    }),
  )
}

function readPath(name: string): MemberPath | undefined {
  try {
    return parseMemberPath(name)
  } catch (error) {
    if (isLockstepError(error)) return undefined
    throw error
  }
}

function mayHoldIds(schema: Readonly<JsonObject>, path: MemberPath): boolean {
  const found = findMember(schema, path)
  if (found.length === 0) return false
  const types = typesOf(schema, found)
  if (types === undefined || types.has('string')) return true
  const items = types.has('array') ? findItems(schema, found) : []
  return types.has('array') && (items.length === 0 || (typesOf(schema, items)?.has('string') ?? true))
}

function readTarget(what: string, target: string | RemoteCollection): Reference['target'] {
  if (typeof target === 'string' && /^[A-Za-z0-9-][A-Za-z0-9_-]*$/.test(target)) return target
  const options = typeof target === 'string' ? { url: target } : target
  checkOptions(`The reference ${what}`, options, { url: true, headers: true, timeoutMs: true })
  const { url, headers = () => ({}), timeoutMs = 2_000 } = options
  checkCount(`timeoutMs of the reference ${what}`, timeoutMs, { max: maxTimerMs })
  const parsed = typeof url === 'string' && URL.canParse(url) ? new URL(url) : undefined
  const isUsable =
    parsed !== undefined &&
    /^https?:$/.test(parsed.protocol) &&
    parsed.search + parsed.hash + parsed.username + parsed.password === '' &&
    parsed.pathname !== '/'
  if (isUsable && typeof headers === 'function') {
    return { url: parsed.href.replace(/\/+$/, ''), headers, timeoutMs }
  }
  throw new LockstepError(
    'invalid-option',
    `The reference ${what} leads to ${quote(url)}. Give the name of a collection at the top of this service, such as "people", or the URL of one of another service, without query and password.`,
  )
}
