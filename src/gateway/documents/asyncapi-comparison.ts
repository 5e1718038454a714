/** What became of messages for those who hear and send them, between two AsyncAPI 3 documents. Pure. */
import type { JsonObject } from '../../contract/index.ts'
import type { Finding, Report } from './finding.ts'
import { follow, joinPointer } from './reference-walk.ts'
import { compareSchemas, type Direction } from './schema-comparison.ts'
import { objectOf } from './site.ts'

/** Both documents MUST be AsyncAPI 3. */
export function compareAsyncApi(before: JsonObject, after: JsonObject): readonly Finding[] {
  const findings: Finding[] = []
  const known = new Set<string>()
  const report: Report = (severity, rule, pointer, detail) => {
    const key = `${rule} ${pointer} ${detail}`
    if (!known.has(key)) findings.push({ rule, severity, pointer, detail })
    known.add(key)
  }
  const channels = objectOf(after['channels'])
  for (const [name, given] of Object.entries(objectOf(before['channels']))) {
    const pointer = joinPointer('channels', name)
    if (Object.hasOwn(channels, name))
      compareChannels(before, after, name, objectOf(given), objectOf(channels[name]), report)
    else
      report(
        'breaking',
        'channel-removed',
        pointer,
        `the channel ${name} (${objectOf(given)['address']}) is gone`,
      )
  }
  for (const name of Object.keys(channels)) {
    if (!Object.hasOwn(objectOf(before['channels']), name))
      report('info', 'channel-added', joinPointer('channels', name), `the channel ${name} is new`)
  }
  compareOperations(before, after, report)
  return findings
}

function compareChannels(
  before: JsonObject,
  after: JsonObject,
  name: string,
  was: JsonObject,
  is: JsonObject,
  report: Report,
): void {
  const pointer = joinPointer('channels', name)
  const plain = ({ address }: JsonObject): string => String(address).replaceAll(/\{[^}]*\}/g, '{}')
  if (plain(was) !== plain(is))
    report(
      'breaking',
      'channel-address-changed',
      `${pointer}/address`,
      `was ${was['address']}, is ${is['address']}`,
    )
  const directions = directionsOf(before, name)
  const messages = objectOf(is['messages'])
  for (const [key, given] of Object.entries(objectOf(was['messages']))) {
    const at = `${pointer}/messages${joinPointer(key)}`
    if (!Object.hasOwn(messages, key)) {
      report('breaking', 'message-removed', at, `the message ${key} is gone`)
      continue
    }
    const one = objectOf(follow(before, given))
    const other = objectOf(follow(after, messages[key]))
    const type = (document: JsonObject, message: JsonObject): string =>
      String(message['contentType'] ?? document['defaultContentType'] ?? '')
    if (type(before, one) !== type(after, other))
      report(
        'breaking',
        'message-content-type-changed',
        `${at}/contentType`,
        `was ${type(before, one)}, is ${type(after, other)}`,
      )
    for (const direction of directions) {
      const comparison = { before, after, direction, report, seen: new Set<string>() }
      compareSchemas(comparison, one['payload'], other['payload'], `${at}/payload`)
      compareSchemas(comparison, one['headers'], other['headers'], `${at}/headers`)
    }
  }
  for (const key of Object.keys(messages)) {
    if (Object.hasOwn(objectOf(was['messages']), key)) continue
    const isHeard = directions.includes('response')
    report(
      isHeard ? 'warning' : 'info',
      'message-added',
      `${pointer}/messages${joinPointer(key)}`,
      `the message ${key} is new`,
    )
  }
}

/** What the application sends its clients get, and the other way round. */
function directionsOf(document: JsonObject, channel: string): readonly Direction[] {
  const actions = new Set(
    Object.values(objectOf(document['operations']))
      .map(objectOf)
      .filter(operation => objectOf(operation['channel'])['$ref'] === `#/channels/${channel}`)
      .map(operation => operation['action']),
  )
  const directions: Direction[] = [
    ...(actions.has('receive') ? ['request' as const] : []),
    ...(actions.has('send') ? ['response' as const] : []),
  ]
  return directions.length === 0 ? ['response'] : directions
}

function compareOperations(before: JsonObject, after: JsonObject, report: Report): void {
  const operations = objectOf(after['operations'])
  for (const [name, given] of Object.entries(objectOf(before['operations']))) {
    const pointer = joinPointer('operations', name)
    if (!Object.hasOwn(operations, name)) {
      report('breaking', 'message-operation-removed', pointer, `${name} is gone`)
      continue
    }
    const [was, is] = [objectOf(given), objectOf(operations[name])]
    if (was['action'] !== is['action'])
      report('breaking', 'action-changed', `${pointer}/action`, `was ${was['action']}, is ${is['action']}`)
    const [one, other] = [was, is].map(operation =>
      objectOf(objectOf(follow(operation === was ? before : after, operation['bindings']))['mqtt']),
    ) as [JsonObject, JsonObject]
    const at = `${pointer}/bindings/mqtt`
    if (Number(other['qos'] ?? 0) < Number(one['qos'] ?? 0))
      report('breaking', 'qos-lowered', `${at}/qos`, `was ${one['qos']}, is ${other['qos'] ?? 0}`)
    else if (Number(other['qos'] ?? 0) > Number(one['qos'] ?? 0))
      report('info', 'qos-raised', `${at}/qos`, `was ${one['qos'] ?? 0}, is ${other['qos']}`)
    if ((one['retain'] === true) !== (other['retain'] === true))
      report(
        one['retain'] === true ? 'breaking' : 'warning',
        'retain-changed',
        `${at}/retain`,
        `was ${one['retain'] === true}, is ${other['retain'] === true}`,
      )
  }
}
