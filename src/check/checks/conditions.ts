/** Conditional requests. PROTOCOL.md 4.4, RFC 9110 §13. */
import { isEqualJson, type JsonObject } from '../../contract/index.ts'
import { show } from '../answer.ts'
import type { Context, Made } from '../context.ts'
import type { Check, Judge } from '../judge.ts'
import { readTag } from '../ledger.ts'
import type { Collection } from '../outline.ts'
import { any, onEach, patches, varied } from '../per-collection.ts'

async function checkConditions(
  context: Context,
  judge: Judge,
  collection: Collection,
  place: string,
): Promise<void> {
  const { api } = context
  const made = await context.make(collection, place)
  await checkReadConditions(context, judge, made)
  if (!patches(collection)) return
  const patch = varied(context, judge, collection, made.state)
  const changed = await context.write('PATCH', made.path, { body: patch, headers: { 'if-match': made.tag } })
  if (!judge.status(changed, 200)) return
  judge.expect(changed.headers['etag'] !== made.tag, `the ETag of ${made.path} is the same after a change`)
  const body = collection.sampler.make(context.nextNumber())
  judge.problem(await context.write('PATCH', made.path, { body, headers: { 'if-match': made.tag } }), 412)
  const fresh = await api.ask('GET', made.path, { headers: { 'if-none-match': made.tag } })
  judge.expect(fresh.status === 200, `${show(fresh)} for an ETag of before: a copy would stay old`)
  const starred = await context.write('PATCH', made.path, {
    body: varied(context, judge, collection, changed.json as JsonObject),
    headers: { 'if-match': '*' },
  })
  judge.expect(starred.status === 200, `${show(starred)} with If-Match: *`)
  if (collection.methods.has('PUT'))
    judge.problem(await context.write('PUT', made.path, { body, headers: { 'if-none-match': '*' } }), 412)
  if (!collection.methods.has('DELETE')) return
  judge.problem(await context.write('DELETE', made.path, { headers: { 'if-match': made.tag } }), 412)
}

async function checkReadConditions(
  { api }: Context,
  judge: Judge,
  { path, tag, state }: Made,
): Promise<void> {
  const same = await api.ask('GET', path, { headers: { 'if-none-match': tag } })
  if (judge.status(same, 304)) {
    judge.expect(same.text === '', 'a 304 has no body')
    judge.expect(same.headers['etag'] === tag, `a 304 has the ETag ${same.headers['etag']} and not ${tag}`)
    judge.expect(same.headers['lockstep-marker'] !== undefined, 'a 304 has no Lockstep-Marker (4.3)')
  }
  const weak = await api.ask('GET', path, { headers: { 'if-none-match': `"x", W/${tag}` } })
  judge.expect(
    weak.status === 304,
    `${show(weak)} for a list with the weak form of its ETag (RFC 9110 §13.1.2)`,
  )
  const head = await api.ask('HEAD', path)
  if (judge.status(head, 200)) {
    judge.expect(
      head.headers['etag'] === tag,
      `HEAD ${path} has the ETag ${head.headers['etag']} and GET ${tag}`,
    )
    judge.expect(head.text === '', 'an answer to HEAD has no body')
  }
  const other = await api.ask('GET', path, { headers: { 'if-none-match': '"another.1"' } })
  judge.expect(
    other.status === 200 && isEqualJson(other.json, state),
    `${show(other)} for an ETag that it never had`,
  )
}

async function checkIfMatch(
  context: Context,
  judge: Judge,
  collection: Collection,
  place: string,
): Promise<void> {
  const made = await context.make(collection, place)
  const bad = await context.write('PATCH', made.path, { body: {}, headers: { 'if-match': 'nonsense' } })
  judge.problem(bad, 400, 'invalid-condition')
  const many = await context.write('PATCH', made.path, {
    body: {},
    headers: { 'if-match': `"a.1", ${made.tag}` },
  })
  judge.expect(many.status === 200, `${show(many)} for a list of tags of which one fits`)
  const weak = await context.write('PATCH', made.path, { body: {}, headers: { 'if-match': `W/${made.tag}` } })
  judge.problem(weak, 412)
  const variant = `${made.tag.slice(0, -1)};lang=xx"`
  const other = await context.write('PATCH', made.path, { body: {}, headers: { 'if-match': variant } })
  judge.expect(other.status === 200, `${show(other)} for the tag of a variant of its version (10.3)`)
  judge.expect(readTag(other.headers['etag'])?.number === made.version, 'a patch of nothing made a version')
}

export const conditionChecks: readonly Check[] = [
  {
    id: 'write.conditions',
    rule: '4.4',
    title: 'If-Match, If-None-Match, 304 and 412 follow RFC 9110',
    run: (context, judge) =>
      onEach(context, judge, any, '', (...at) => checkConditions(context, judge, ...at)),
  },
  {
    id: 'write.if-match',
    rule: '4.4 10.3',
    title: 'If-Match takes lists, no weak tags, and tags of any variant',
    run: (context, judge) =>
      onEach(context, judge, patches, 'there is no PATCH', (...at) => checkIfMatch(context, judge, ...at)),
  },
]
