/** What became of an API for its clients, between two OpenAPI documents. Modelled on the rules of oasdiff. Pure. */
import type { Json, JsonObject } from '../../contract/index.ts'
import type { Finding, Report } from './finding.ts'
import { listOperations } from './operation-list.ts'
import { follow, joinPointer } from './reference-walk.ts'
import { compareSchemas, type Direction } from './schema-comparison.ts'
import { objectOf } from './site.ts'

type Found = ReturnType<typeof listOperations>[number]

/** Both documents MUST be OpenAPI 3.1; see upgrade.ts. */
export function compareOpenApi(before: JsonObject, after: JsonObject): readonly Finding[] {
  const findings: Finding[] = []
  const known = new Set<string>()
  const report: Report = (severity, rule, pointer, detail) => {
    const key = `${rule} ${pointer} ${detail}`
    if (known.has(key)) return
    known.add(key)
    findings.push({ rule, severity, pointer, detail })
  }
  const later = new Map(listOperations(after).map(found => [keyOf(found), found]))
  for (const found of listOperations(before)) {
    const now = later.get(keyOf(found))
    const pointer = joinPointer('paths', now?.path ?? found.path, found.method)
    if (now === undefined) {
      const wasDeprecated = found.operation['deprecated'] === true
      const name = `${found.method.toUpperCase()} ${found.path}`
      report(
        wasDeprecated ? 'warning' : 'breaking',
        'operation-removed',
        pointer,
        `${name} is gone${wasDeprecated ? '; it was deprecated' : ''}`,
      )
      continue
    }
    compareOperations(before, after, found, now, pointer, report)
  }
  const earlier = new Set(listOperations(before).map(keyOf))
  for (const found of later.values()) {
    if (earlier.has(keyOf(found))) continue
    report(
      'info',
      'operation-added',
      joinPointer('paths', found.path, found.method),
      `${found.method.toUpperCase()} ${found.path} is new`,
    )
  }
  return findings
}

/** Whatever the ids in the path are called. */
function keyOf({ path, method }: Found): string {
  return `${method} ${path.replaceAll(/\{[^}]*\}/g, '{}')}`
}

function compareOperations(
  before: JsonObject,
  after: JsonObject,
  was: Found,
  is: Found,
  pointer: string,
  report: Report,
): void {
  const compare = (direction: Direction, one: Json | undefined, other: Json | undefined, at: string): void =>
    compareSchemas({ before, after, direction, report, seen: new Set() }, one, other, at)
  compareParameters(parametersOf(before, was), parametersOf(after, is), pointer, report, compare)
  if (is.operation['operationId'] !== was.operation['operationId'])
    report(
      'warning',
      'operation-id-changed',
      `${pointer}/operationId`,
      `was ${was.operation['operationId']}, is ${is.operation['operationId']}`,
    )
  const isOpen = (document: JsonObject, operation: JsonObject): boolean => {
    const security = operation['security'] ?? document['security']
    return (
      !Array.isArray(security) ||
      security.length === 0 ||
      security.some(each => Object.keys(objectOf(each)).length === 0)
    )
  }
  if (isOpen(before, was.operation) && !isOpen(after, is.operation))
    report('breaking', 'security-added', `${pointer}/security`, 'credentials are needed now')
  compareBodies(
    objectOf(follow(before, was.operation['requestBody'])),
    objectOf(follow(after, is.operation['requestBody'])),
    `${pointer}/requestBody`,
    report,
    compare,
  )
  compareResponses(before, after, was, is, pointer, report, compare)
}

type Compare = (direction: Direction, one: Json | undefined, other: Json | undefined, at: string) => void

function parametersOf(document: JsonObject, { path, operation }: Found): Map<string, JsonObject> {
  const item = objectOf(objectOf(document['paths'])[path])
  const names = [...path.matchAll(/\{([^}]*)\}/g)].map(([, name]) => name)
  const found = new Map<string, JsonObject>()
  for (const list of [item['parameters'], operation['parameters']]) {
    for (const each of Array.isArray(list) ? list : []) {
      const parameter = objectOf(follow(document, each))
      const { in: place, name } = parameter
      // Those in the path are known by their place: what they are called is no matter.
      const key =
        place === 'path'
          ? `path ${names.indexOf(String(name))}`
          : `${place} ${place === 'header' ? String(name).toLowerCase() : name}`
      found.set(key, parameter)
    }
  }
  return found
}

function compareParameters(
  before: Map<string, JsonObject>,
  after: Map<string, JsonObject>,
  pointer: string,
  report: Report,
  compare: Compare,
): void {
  const at = `${pointer}/parameters`
  for (const [key, was] of before) {
    const is = after.get(key)
    if (is === undefined) {
      report(
        'warning',
        'request-parameter-removed',
        at,
        `the parameter ${was['name']} (${was['in']}) is gone`,
      )
      continue
    }
    if (is['required'] === true && was['required'] !== true)
      report(
        'breaking',
        'request-parameter-became-required',
        at,
        `the parameter ${is['name']} (${is['in']}) is required now`,
      )
    compare('request', was['schema'], is['schema'], `${at}${joinPointer(String(is['name']))}/schema`)
  }
  for (const [key, is] of after) {
    if (before.has(key)) continue
    const isRequired = is['required'] === true
    report(
      isRequired ? 'breaking' : 'info',
      isRequired ? 'request-required-parameter-added' : 'request-parameter-added',
      at,
      `the parameter ${is['name']} (${is['in']}) is new${isRequired ? ' and required' : ''}`,
    )
  }
}

function compareBodies(
  was: JsonObject,
  is: JsonObject,
  pointer: string,
  report: Report,
  compare: Compare,
): void {
  const [one, other] = [objectOf(was['content']), objectOf(is['content'])]
  if (
    is['required'] === true &&
    was['required'] !== true &&
    (Object.keys(one).length > 0 || Object.keys(other).length > 0)
  )
    report('breaking', 'request-body-became-required', pointer, 'a body is required now')
  for (const [type, media] of Object.entries(one)) {
    if (Object.hasOwn(other, type))
      compare(
        'request',
        objectOf(media)['schema'],
        objectOf(other[type])['schema'],
        `${pointer}/content${joinPointer(type)}/schema`,
      )
    else
      report(
        'breaking',
        'request-media-type-removed',
        `${pointer}/content${joinPointer(type)}`,
        `${type} is not taken any more`,
      )
  }
}

function compareResponses(
  before: JsonObject,
  after: JsonObject,
  was: Found,
  is: Found,
  pointer: string,
  report: Report,
  compare: Compare,
): void {
  const later = objectOf(is.operation['responses'])
  for (const [status, given] of Object.entries(objectOf(was.operation['responses']))) {
    const at = `${pointer}/responses${joinPointer(status)}`
    const isGood = /^[23]/.test(status)
    if (!Object.hasOwn(later, status)) {
      report(
        isGood ? 'breaking' : 'info',
        isGood ? 'response-success-removed' : 'response-removed',
        at,
        `${status} is not answered any more`,
      )
      continue
    }
    const one = objectOf(follow(before, given))
    const other = objectOf(follow(after, later[status]))
    for (const [name, headerGiven] of Object.entries(objectOf(one['headers']))) {
      const header = objectOf(follow(before, headerGiven))
      if (Object.keys(objectOf(other['headers'])).some(each => each.toLowerCase() === name.toLowerCase()))
        continue
      report(
        header['required'] === true ? 'breaking' : 'warning',
        'response-header-removed',
        `${at}/headers${joinPointer(name)}`,
        `the header ${name} is gone`,
      )
    }
    const types = objectOf(other['content'])
    for (const [type, media] of Object.entries(objectOf(one['content']))) {
      if (Object.hasOwn(types, type))
        compare(
          'response',
          objectOf(media)['schema'],
          objectOf(types[type])['schema'],
          `${at}/content${joinPointer(type)}/schema`,
        )
      else
        report(
          'breaking',
          'response-media-type-removed',
          `${at}/content${joinPointer(type)}`,
          `${type} is not answered any more`,
        )
    }
  }
  for (const status of Object.keys(later)) {
    if (Object.hasOwn(objectOf(was.operation['responses']), status)) continue
    report(
      'info',
      'response-added',
      `${pointer}/responses${joinPointer(status)}`,
      `${status} may be answered now`,
    )
  }
}
