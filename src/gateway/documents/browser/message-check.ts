/** Checks a message that has come against the document of messages, in the page: enough of JSON Schema for what messages use. */

export interface Schema {
  readonly [keyword: string]: unknown
}

export interface Outcome {
  readonly isGood: boolean
  readonly text: string
}

export function checkMessage(document: Schema, topic: string, message: unknown): Outcome {
  const levels = topic.split('/')
  const faults: string[] = []
  for (const channel of Object.values(document['channels'] as Record<string, Schema>)) {
    const address = String(channel['address']).split('/')
    const fits =
      address.length === levels.length &&
      address.every((level, index) => level.startsWith('{') || level === levels[index])
    if (!fits) continue
    for (const [name, reference] of Object.entries((channel['messages'] ?? {}) as Record<string, Schema>)) {
      const found = resolve(document, reference)
      const fault = findFault(document, found['payload'], message, '', 0)
      if (fault === undefined) return { isGood: true, text: `✓ fits ${name}` }
      if (!fault.startsWith('/event')) faults.push(`${name}: ${fault}`)
    }
  }
  return { isGood: false, text: `✗ ${faults[0] ?? `no channel of the document has the topic ${topic}`}` }
}

function resolve(document: Schema, schema: unknown): Schema {
  let found = schema as Schema | undefined
  for (let step = 0; step < 20 && typeof found?.['$ref'] === 'string'; step++) {
    found = found['$ref']
      .slice(2)
      .split('/')
      .reduce<unknown>(
        (value, part) =>
          (value as Schema | undefined)?.[
            decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')
          ],
        document,
      ) as Schema
  }
  return found ?? {}
}

/** The first fault of a value, by the keywords that messages use; what is not known is no fault. */
function findFault(
  document: Schema,
  given: unknown,
  value: unknown,
  at: string,
  depth: number,
): string | undefined {
  if (given === true || given === undefined || depth > 60) return undefined
  if (given === false) return `${at} may not be there`
  const schema = resolve(document, given)
  const inner = (each: unknown, part: unknown = value, place = at): string | undefined =>
    findFault(document, each, part, place, depth + 1)
  const types = [schema['type'] ?? []].flat()
  if (types.length > 0 && !types.some(type => isOfType(type, value)))
    return `${at || 'it'} is no ${types.join(' or ')}`
  if ('const' in schema && JSON.stringify(schema['const']) !== JSON.stringify(value))
    return `${at} is not ${JSON.stringify(schema['const'])}`
  const values = schema['enum']
  if (Array.isArray(values) && !values.some(each => JSON.stringify(each) === JSON.stringify(value)))
    return `${at} is none of ${values.join(', ')}`
  for (const each of (schema['allOf'] ?? []) as unknown[]) {
    const fault = inner(each)
    if (fault !== undefined) return fault
  }
  for (const name of ['anyOf', 'oneOf']) {
    const faults = ((schema[name] ?? []) as unknown[]).map(each => inner(each))
    if (faults.length > 0 && faults.every(fault => fault !== undefined)) return faults[0]
  }
  if (typeof value === 'string') return findTextFault(schema, value, at)
  if (typeof value === 'number') {
    const { minimum = -Infinity, maximum = Infinity } = schema as { minimum?: number; maximum?: number }
    return value < minimum || value > maximum ? `${at} is ${value}` : undefined
  }
  if (Array.isArray(value))
    return value.map((each, index) => inner(schema['items'], each, `${at}/${index}`)).find(Boolean)
  if (typeof value !== 'object' || value === null) return undefined
  const members = (schema['properties'] ?? {}) as Schema
  const missing = ((schema['required'] ?? []) as string[]).find(name => !Object.hasOwn(value, name))
  if (missing !== undefined) return `${at}/${missing} is missing`
  return Object.entries(value)
    .map(([name, member]) =>
      inner(
        Object.hasOwn(members, name) ? members[name] : schema['additionalProperties'],
        member,
        `${at}/${name}`,
      ),
    )
    .find(Boolean)
}

function findTextFault(
  { pattern, minLength, maxLength }: Schema,
  value: string,
  at: string,
): string | undefined {
  if (typeof pattern === 'string' && !new RegExp(pattern, 'u').test(value))
    return `${at} is not like ${pattern}`
  if (typeof minLength === 'number' && value.length < minLength) return `${at} is too short`
  return typeof maxLength === 'number' && [...value].length > maxLength ? `${at} is too long` : undefined
}

function isOfType(type: unknown, value: unknown): boolean {
  if (type === 'null') return value === null
  if (type === 'array') return Array.isArray(value)
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value)
  if (type === 'integer') return Number.isInteger(value)
  return typeof value === type
}
