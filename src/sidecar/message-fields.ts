/** Which fields of a request go to the API, and which of its answer to the client: all but those of the connection itself. RFC 9110 §7.6.1. */

const ofConnection = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'],
  ...['proxy-authenticate', 'proxy-authorization'],
])
/** Of a request: written anew. */
const ours = new Set([
  'host',
  'content-length',
  'expect',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
])

/** Many APIs use few names; each is brought to lower case once. */
const maxKnownNames = 1_000
const lowerNames = new Map<string, string>()

export interface RequestFields {
  /** As they came: names and values in turn. */
  readonly rawFields: readonly string[]
  /** What the API is told as `Host`. */
  readonly host: string
  readonly clientHost: string | undefined
  readonly clientAddress: string
  readonly isTls: boolean
}

/** Writes the fields of a request, each with its line end. The length of the body is not among them. */
export function formatRequestFields({
  rawFields,
  host,
  clientHost,
  clientAddress,
  isTls,
}: RequestFields): string {
  const named = namedByConnection(rawFields)
  let text = `host: ${host}\r\n`
  let forwardedFor = clientAddress
  let proto = isTls ? 'https' : 'http'
  let forwardedHost = clientHost
  for (let index = 0; index < rawFields.length; index += 2) {
    const name = lowerName(rawFields[index]!)
    const value = rawFields[index + 1]!
    if (ofConnection.has(name) || named?.has(name) === true) continue
    if (!ours.has(name)) text += `${rawFields[index]}: ${value}\r\n`
    else if (name === 'x-forwarded-for') forwardedFor = `${value}, ${clientAddress}`
    else if (name === 'x-forwarded-proto') proto = value
    else if (name === 'x-forwarded-host') forwardedHost = value
  }
  text += `x-forwarded-for: ${forwardedFor}\r\nx-forwarded-proto: ${proto}\r\n`
  return forwardedHost === undefined ? text : `${text}x-forwarded-host: ${forwardedHost}\r\n`
}

/** Gives names and values in turn, with `set` in the place of what the API says; a `link` is added to its own. */
export function makeAnswerFields(
  fields: readonly string[],
  set: Readonly<Record<string, string>> | undefined,
): string[] {
  const named = namedByConnection(fields)
  const made: string[] = []
  for (let index = 0; index < fields.length; index += 2) {
    const name = lowerName(fields[index]!)
    if (ofConnection.has(name) || (named?.has(name) === true && name !== 'content-length')) continue
    if (set !== undefined && name !== 'link' && name in set) continue
    made.push(fields[index]!, fields[index + 1]!)
  }
  if (set !== undefined) for (const name in set) made.push(name, set[name]!)
  return made
}

/** The first value of a field; `name` in lower case. */
export function findField(fields: readonly string[], name: string): string | undefined {
  for (let index = 0; index < fields.length; index += 2) {
    const given = fields[index]!
    if (given.length === name.length && lowerName(given) === name) return fields[index + 1]
  }
  return undefined
}

/** Further fields that are for this hop only. */
function namedByConnection(fields: readonly string[]): ReadonlySet<string> | undefined {
  const value = findField(fields, 'connection')
  if (value === undefined || /^(?:keep-alive|close|upgrade)$/i.test(value)) return undefined
  return new Set(value.split(',').map(option => option.trim().toLowerCase()))
}

function lowerName(name: string): string {
  const before = lowerNames.get(name)
  if (before !== undefined) return before
  const lower = name.toLowerCase()
  if (lowerNames.size < maxKnownNames) lowerNames.set(name, lower)
  return lower
}
