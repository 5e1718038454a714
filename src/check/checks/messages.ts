/** After all writing: what the broker delivered and what the feed tells, beside what was written. PROTOCOL.md §3 and §7. */
import {
  applyMergePatch,
  isEqualJson,
  isJsonObject,
  type JsonObject,
  parsePosition,
  quote,
} from '../../contract/index.ts'
import { type Context, streamsOf } from '../context.ts'
import type { Heard, Hearing } from '../hearing.ts'
import type { Check, Judge } from '../judge.ts'
import type { Written } from '../ledger.ts'

type Part = (context: Context, judge: Judge, hearing: Hearing) => Promise<void> | void

/** What was never written cannot be judged. */
function written(part: Check['run']): Check['run'] {
  return async (context, judge) => {
    if (context.ledger.written.length === 0) judge.skip('nothing was written')
    await part(context, judge)
  }
}

/** For what needs a broker. */
function heard(part: Part): Check['run'] {
  return written(async (context, judge) => {
    const { hearing } = context
    if (hearing === undefined) judge.skip('no broker was given')
    else await part(context, judge, hearing)
  })
}

/** Which number a message has in its stream; `undefined` where its id is no position. */
function seqOf(message: JsonObject | undefined): { stream: string; seq: number; epoch: string } | undefined {
  try {
    return parsePosition(String(message?.['id']))
  } catch {
    return undefined
  }
}

async function checkDelivered(context: Context, judge: Judge, hearing: Hearing): Promise<void> {
  if (hearing.losses > 0) judge.skip('the connection to the broker was lost meanwhile')
  let total = 0
  for (const stream of streamsOf(context.outline)) {
    const changes = await context.told(stream)
    total += changes.length
    const missing = (): JsonObject[] => {
      const ids = new Set(hearing.messages.map(({ json }) => json?.['id']))
      return changes.filter(({ id }) => !ids.has(id!))
    }
    await hearing.until(() => missing().length === 0, context.patienceMs)
    for (const change of missing())
      judge.fail(`${describe(change)} is in the feed and was not delivered by the broker`)
  }
  judge.say(`${total} changes, ${hearing.messages.length} deliveries`)
}

function checkOrder(context: Context, judge: Judge, { messages, losses }: Hearing): void {
  if (losses > 0) judge.skip('the connection to the broker was lost meanwhile')
  for (const stream of streamsOf(context.outline)) {
    const seen = new Set<number>()
    let last = 0
    for (const { json } of messages) {
      const position = seqOf(json)
      if (position?.stream !== stream || seen.has(position.seq)) continue
      seen.add(position.seq)
      judge.expect(position.seq > last, `${position.seq} of ${stream} was delivered behind ${last}`)
      last = Math.max(last, position.seq)
    }
  }
}

async function checkTopics(context: Context, judge: Judge, { messages }: Hearing): Promise<void> {
  const { ledger, topicPrefix } = context
  const byVersion = new Map(
    ledger.written.map(written => [`${written.resource} ${written.version}`, written]),
  )
  let judged = 0
  for (const { topic, json } of messages) {
    const { event, resource, version } = json ?? {}
    if (typeof resource !== 'string' || !ledger.isOurs(resource)) continue
    const own = topicPrefix + resource.slice(1)
    const above = own.slice(0, own.lastIndexOf('/'))
    const written = byVersion.get(`${resource} ${version}`)
    const wanted =
      written === undefined
        ? event === 'created'
          ? [own, above]
          : [own]
        : [topicPrefix + written.endpoint.slice(1)]
    judged++
    judge.expect(
      wanted.includes(topic),
      `${describe(json!)} came on ${topic} and not on ${wanted.join(' or ')}`,
    )
  }
  judge.say(`${judged} messages`)
}

async function checkSameAsFeed(context: Context, judge: Judge, { messages }: Hearing): Promise<void> {
  for (const stream of streamsOf(context.outline)) {
    const byId = new Map((await context.told(stream)).map(change => [change['id'], change]))
    for (const { json, text, topic } of messages) {
      if (json === undefined) {
        if (topic.startsWith(`${context.topicPrefix}${stream}`))
          judge.fail(`what came on ${topic} is no JSON object: ${quote(text, 60)}`)
        continue
      }
      if (seqOf(json)?.stream !== stream || json['event'] === 'reset') continue
      const change = byId.get(json['id'])
      if (change === undefined) {
        if (context.ledger.isOurs(String(json['resource'])))
          judge.fail(`${describe(json)} was delivered and is not in the feed`)
      } else if (json['ref'] === true) {
        const { state: _state, changes: _changes, ...rest } = change
        judge.expect(
          isEqualJson({ ...rest, ref: true }, json),
          `${describe(json)} says ref and differs from the feed besides`,
        )
      } else
        judge.expect(
          isEqualJson(change, json),
          `${describe(json)} is another in the feed: ${quote(JSON.stringify(change), 200)}`,
        )
    }
  }
}

async function checkDocumented(context: Context, judge: Judge, { messages }: Hearing): Promise<void> {
  const { schemas, topicPrefix, ledger } = context
  if (schemas === undefined) return judge.skip('there is no AsyncAPI document')
  let judged = 0
  for (const { topic, json } of messages) {
    if (json === undefined || !topic.startsWith(topicPrefix) || !ledger.isOurs(String(json['resource'])))
      continue
    const faults = schemas.judge(topic, json)
    judged++
    judge.expect(faults !== undefined, `no channel of the document has the topic ${topic}`)
    judge.expect((faults ?? []).length === 0, `${describe(json)} does not fit its schema: ${faults?.[0]}`)
  }
  judge.say(`${judged} messages`)
}

/** The feed alone: numbers, versions, content, and each acknowledged write once. */
async function checkNumbers(context: Context, judge: Judge): Promise<void> {
  for (const { stream, epoch, head } of context.beginnings) {
    let last = head
    for (const change of await context.told(stream)) {
      const position = seqOf(change)
      judge.expect(
        position?.stream === stream && position.epoch === epoch && position.seq === last + 1,
        `the id ${quote(change['id'])} comes behind ${stream}:${epoch}:${last}`,
      )
      last = position?.seq ?? last
    }
  }
}

async function checkVersions(context: Context, judge: Judge): Promise<void> {
  for (const stream of streamsOf(context.outline)) {
    const versions = new Map<string, number>()
    const deleted = new Set<string>()
    for (const change of await context.told(stream)) {
      const { resource, version, event } = change
      if (typeof resource !== 'string' || typeof version !== 'number') {
        judge.fail(`${describe(change)} has no resource or no version`)
        continue
      }
      const before = versions.get(resource)
      judge.expect(
        before === undefined || version === before + 1,
        `${describe(change)} comes behind version ${before}`,
      )
      const isThere = before !== undefined && !deleted.has(resource)
      if (before !== undefined)
        judge.expect(
          (event === 'created') === !isThere,
          `${describe(change)} of what ${isThere ? 'is there' : 'was deleted'}`,
        )
      if (event === 'deleted') deleted.add(resource)
      else deleted.delete(resource)
      versions.set(resource, version)
    }
  }
}

async function checkOnce(context: Context, judge: Judge): Promise<void> {
  const { ledger, outline } = context
  const told = new Map<string, JsonObject[]>()
  for (const stream of streamsOf(outline))
    for (const change of await context.told(stream)) {
      const key = `${change['resource']} ${change['event'] === 'deleted' ? 'deleted' : change['version']}`
      told.set(key, [...(told.get(key) ?? []), change])
    }
  const keyOf = ({ resource, version }: Written): string => `${resource} ${version ?? 'deleted'}`
  const wanted = new Map<string, Written[]>()
  for (const written of ledger.written)
    wanted.set(keyOf(written), [...(wanted.get(keyOf(written)) ?? []), written])
  for (const [key, writes] of wanted) {
    const [written] = writes
    const changes = told.get(key) ?? []
    judge.expect(
      changes.length === writes.length,
      `${written!.exchange.method} of ${key} was acknowledged ${writes.length}×, and the feed tells it ${changes.length}×`,
    )
    const [change] = changes
    if (change === undefined) continue
    judge.expect(
      change['event'] === written!.event,
      `${describe(change)} was answered with ${written!.exchange.status}, as ${written!.event}`,
    )
    const causes = writes.flatMap(each => each.causes)
    judge.expect(
      causes.length === 0 || causes.includes(String(change['cause'])),
      `${describe(change)} has the cause ${quote(change['cause'])}; the answer said ${causes[0]}`,
    )
  }
  for (const [key, changes] of told) {
    const resource = String(changes[0]!['resource'])
    if (
      !wanted.has(key) &&
      ledger.isOurs(resource) &&
      !ledger.isDoubtful(resource) &&
      !isNestedDeletion(ledger.written, changes[0]!)
    )
      judge.fail(`${describe(changes[0]!)} is told, and no answer acknowledged it`)
  }
  judge.say(`${ledger.written.length} writes`)
}

/** What lies in a resource goes with it, without an answer of its own. */
function isNestedDeletion(written: readonly Written[], { event, resource }: JsonObject): boolean {
  return (
    event === 'deleted' &&
    written.some(other => other.event === 'deleted' && String(resource).startsWith(`${other.resource}/`))
  )
}

async function checkContent(context: Context, judge: Judge): Promise<void> {
  const { ledger } = context
  const answered = new Map(ledger.written.map(written => [`${written.resource} ${written.version}`, written]))
  const states = new Map<string, JsonObject>()
  let judged = 0
  for (const stream of streamsOf(context.outline)) {
    for (const change of await context.told(stream)) {
      const resource = String(change['resource'])
      const { event, state, changes } = change
      if (event === 'deleted') {
        judge.expect(state === undefined && changes === undefined, `${describe(change)} has a content`)
        states.delete(resource)
        continue
      }
      judge.expect(
        (state === undefined) !== (changes === undefined),
        `${describe(change)} has not exactly one of state and changes`,
      )
      judge.expect(event !== 'created' || isJsonObject(state), `${describe(change)} has no state`)
      const before = states.get(resource)
      const after = isJsonObject(state)
        ? state
        : before === undefined
          ? undefined
          : (applyMergePatch(before, changes!) as JsonObject)
      if (after === undefined) continue
      states.set(resource, after)
      judged++
      const written = answered.get(`${resource} ${change['version']}`)
      if (written?.state !== undefined) {
        judge.expect(
          isEqualJson(after, written.state),
          `${describe(change)} leads to another state than its answer showed`,
        )
        judge.expect(
          written.exchange.method !== 'PUT' || isJsonObject(state),
          `${describe(change)} was made by PUT and has no whole state`,
        )
      }
      if (changes !== undefined)
        judge.expect(
          JSON.stringify(changes).length < JSON.stringify(after).length,
          `${describe(change)} has a patch that is not shorter than the state`,
        )
    }
  }
  judge.say(`${judged} contents`)
}

function describe({ event, resource, version, id }: JsonObject | (Heard['json'] & {})): string {
  return `${event} ${resource} version ${version} (${id})`
}

export const messageChecks: readonly Check[] = [
  {
    id: 'changes.once',
    rule: '7.1',
    title: 'each acknowledged write has exactly its changes, and nothing else has any',
    run: written(checkOnce),
  },
  {
    id: 'changes.numbers',
    rule: '7.2 5.1',
    title: 'the changes of a stream are numbered without a hole',
    run: written(checkNumbers),
  },
  {
    id: 'changes.versions',
    rule: '7.2',
    title: 'the versions of a resource follow each other by one',
    run: written(checkVersions),
  },
  {
    id: 'changes.content',
    rule: '3.1 3.2',
    title: 'what a change says leads to exactly the state that was answered',
    run: written(checkContent),
  },
  {
    id: 'messages.delivered',
    rule: '3.9',
    title: 'every change comes over the broker',
    run: heard(checkDelivered),
  },
  {
    id: 'messages.order',
    rule: '3.9',
    title: 'messages come in the order of their numbers',
    run: heard(checkOrder),
  },
  {
    id: 'messages.topic',
    rule: '2.3',
    title: 'a message goes to the topic of the endpoint that was called',
    run: heard(checkTopics),
  },
  {
    id: 'messages.feed',
    rule: '3.1 3.5',
    title: 'a message says the same as the feed',
    run: heard(checkSameAsFeed),
  },
  {
    id: 'messages.schema',
    rule: '3.1',
    title: 'messages are of their documented schema',
    run: heard(checkDocumented),
  },
]
