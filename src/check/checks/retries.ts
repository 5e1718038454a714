/** What a service may offer besides: repeated writes, JSON Patch, bulks, health. PROTOCOL.md 4.13 to 4.17. */
import { isEqualJson, isJsonObject, type JsonObject, streamOf } from '../../contract/index.ts'
import { show } from '../answer.ts'
import type { Exchange } from '../api.ts'
import type { Context } from '../context.ts'
import { readMarker } from '../feed.ts'
import type { Check, Judge } from '../judge.ts'
import { readVersion } from '../ledger.ts'
import type { Collection, Feature, Write } from '../outline.ts'

async function scene(context: Context): Promise<{ collection: Collection; place: string }> {
  const { collections } = context.outline
  const collection =
    collections.find(({ methods }) => methods.has('POST') && methods.has('PATCH')) ?? collections[0]!
  return { collection, place: await context.place(collection) }
}

/** Ends the check where the service does not have it and does not say so; otherwise it is a fault. */
function missing(context: Context, judge: Judge, feature: Feature, seen: string): void {
  if (!context.isDeclared(feature)) judge.skip(`${feature} is not offered: ${seen}`)
  judge.fail(`${feature} is declared, and ${seen}`)
}

async function checkKeys(context: Context, judge: Judge): Promise<void> {
  const { collection, place } = await scene(context)
  if (!collection.methods.has('POST')) judge.skip('there is no POST')
  const key = `check-${context.runId}-${context.nextNumber()}`
  const headers = { 'idempotency-key': key }
  const body = collection.sampler.make(context.nextNumber())
  const first = await context.write('POST', place, { body, headers })
  if (!judge.status(first, 201)) return
  const again = await context.write('POST', place, { body, headers })
  if (again.headers['idempotency-replayed'] !== 'true')
    return missing(context, judge, 'idempotency', `${show(again)} without Idempotency-Replayed`)
  for (const name of ['etag', 'location', 'lockstep-marker'])
    judge.expect(
      first.headers[name] === again.headers[name],
      `a repeated write has ${name} ${again.headers[name]} and had ${first.headers[name]}`,
    )
  judge.expect(
    again.status === 201 && isEqualJson(first.json, again.json),
    `${show(again)} with another body when it was repeated`,
  )
  const other = collection.sampler.make(context.nextNumber())
  judge.problem(
    await context.write('POST', place, { body: { ...other, check: 1 }, headers }),
    422,
    'idempotency-key-reused',
  )
  await checkKeysTogether(context, judge, collection, place)
  if (!collection.methods.has('PATCH')) return
  const path = context.ledger.written.find(({ exchange }) => exchange === first)?.resource ?? ''
  const patch = collection.sampler.vary(first.json as JsonObject, context.nextNumber())
  const changed = await context.write('PATCH', path, { body: patch, headers })
  judge.expect(
    changed.status === 200 && changed.headers['idempotency-replayed'] === undefined,
    `${show(changed)}: a key is valid for its method and path`,
  )
  await context.write('PATCH', path, {
    body: collection.sampler.vary(changed.json as JsonObject, context.nextNumber()),
  })
  const replayed = await context.write('PATCH', path, { body: patch, headers })
  judge.expect(
    replayed.headers['idempotency-replayed'] === 'true' && isEqualJson(replayed.json, changed.json),
    `${show(replayed)}: it was made once and is not made again`,
  )
  const refused = { ...headers, 'if-match': '"a.1"' }
  const next = `${key}-b`
  judge.problem(
    await context.write('PATCH', path, { body: patch, headers: { ...refused, 'idempotency-key': next } }),
    412,
  )
  const corrected = await context.write('PATCH', path, { body: patch, headers: { 'idempotency-key': next } })
  judge.expect(
    corrected.status === 200,
    `${show(corrected)}: a write that was refused may be corrected and sent with its key`,
  )
}

async function checkKeysTogether(
  context: Context,
  judge: Judge,
  collection: Collection,
  place: string,
): Promise<void> {
  const headers = { 'idempotency-key': `check-${context.runId}-${context.nextNumber()}` }
  const body = collection.sampler.make(context.nextNumber())
  const before = (await context.told(streamOf(place))).length
  const answers = await Promise.all([0, 1, 2, 3].map(() => context.write('POST', place, { body, headers })))
  const made = answers.filter(
    ({ status, headers: own }) => status === 201 && own['idempotency-replayed'] === undefined,
  )
  judge.expect(made.length === 1, `of four writes with one key ${made.length} were made`)
  for (const answer of answers)
    if (answer.status !== 201) judge.problem(answer, 409, 'idempotency-key-in-use')
  const count = (await context.told(streamOf(place)))
    .slice(before)
    .filter(({ resource }) => String(resource).startsWith(`${place}/`)).length
  judge.expect(count === 1, `four writes with one key made ${count} changes`)
}

async function checkJsonPatch(context: Context, judge: Judge): Promise<void> {
  const { collection, place } = await scene(context)
  if (!collection.methods.has('PATCH')) judge.skip('there is no PATCH')
  const made = await context.make(collection, place)
  const contentType = 'application/json-patch+json'
  const patch =
    collection.sampler.vary(made.state, context.nextNumber()) ?? judge.skip('nothing to change was found')
  const operations = Object.entries(patch).map(([name, value]) => ({
    op: 'add',
    path: `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`,
    value,
  }))
  const test = { op: 'test', path: '/id', value: made.id }
  const changed = await context.write('PATCH', made.path, { body: [test, ...operations], contentType })
  if (changed.status === 415) return missing(context, judge, 'json-patch', show(changed))
  if (!judge.status(changed, 200)) return
  judge.expect(
    readVersion(changed) === made.version + 1,
    `${show(changed)} with version ${readVersion(changed)}`,
  )
  const conflict = await context.write('PATCH', made.path, {
    body: [...operations, { ...test, value: 'another' }],
    contentType,
  })
  if (judge.problem(conflict, 409, 'patch-conflict')) {
    const { operation, pointer } = conflict.json as JsonObject
    judge.expect(
      operation === operations.length && pointer === '/id',
      `patch-conflict has operation ${operation} and pointer ${pointer}`,
    )
  }
  judge.problem(
    await context.write('PATCH', made.path, { body: [{ op: 'nonsense' }], contentType }),
    422,
    'invalid-patch',
  )
  const nowhere = [{ op: 'remove', path: `/check${context.runId}` }]
  judge.problem(
    await context.write('PATCH', made.path, { body: nowhere, contentType }),
    409,
    'patch-conflict',
  )
  const read = await context.api.ask('GET', made.path)
  judge.expect(isEqualJson(read.json, changed.json), `a JSON Patch that was refused changed ${made.path}`)
}

/** A result of a bulk as the answer to a request of its own, for the ledger. */
function asExchange(
  context: Context,
  bulk: Exchange,
  method: Write,
  place: string,
  result: JsonObject,
): Exchange {
  const { status, path, etag, body, marker } = result
  const base = new URL(context.api.root).pathname.replace(/\/+$/, '')
  return {
    ...bulk,
    method,
    target: method === 'POST' ? place : String(path),
    status: Number(status),
    headers: {
      'lockstep-marker': typeof marker === 'string' ? marker : bulk.headers['lockstep-marker']!,
      ...(bulk.headers['x-request-id'] === undefined ? {} : { 'x-request-id': bulk.headers['x-request-id'] }),
      ...(typeof etag === 'string' ? { etag } : {}),
      ...(typeof path === 'string' ? { location: base + path } : {}),
    },
    json: body,
  }
}

async function checkBulk(context: Context, judge: Judge): Promise<void> {
  const { collection, place } = await scene(context)
  const bodyOf = (id: string): JsonObject => ({ id, ...collection.sampler.make(context.nextNumber()) })
  const ids = [1, 2, 3].map(() => `check-${context.runId}-${context.nextNumber()}`)
  const operations = ids.slice(0, 2).map(id => ({ method: 'POST', body: bodyOf(id) }))
  const bulk = await context.api.ask('POST', `${place}/_bulk`, { body: { atomic: true, operations } })
  if ([404, 405].includes(bulk.status)) return missing(context, judge, 'bulk', show(bulk))
  if (!judge.status(bulk, 200)) return
  const results = takeResults(context, judge, bulk, place, operations)
  judge.expect(
    results.every(({ status }) => status === 201),
    `a bulk of two POSTs has the results ${results.map(({ status }) => status)}`,
  )
  const told = (await context.told(streamOf(place))).slice(-2)
  const transactions = told.map(({ tx }) => (isJsonObject(tx) ? `${tx['id']} ${tx['n']}` : 'none'))
  judge.expect(
    new Set(transactions).size === 1 && transactions[0]!.endsWith(' 2'),
    `an atomic bulk of two says ${transactions.join(' and ')} as its transaction (3.4)`,
  )
  const failing = [
    { method: 'POST', body: bodyOf(ids[2]!) },
    { method: 'POST', body: bodyOf(ids[0]!) },
  ]
  const refused = await context.api.ask('POST', `${place}/_bulk`, {
    body: { atomic: true, operations: failing },
  })
  if (judge.problem(refused, 409))
    judge.expect(
      (refused.json as JsonObject)['index'] === 1,
      `it has the index ${(refused.json as JsonObject)['index']} and not 1`,
    )
  judge.problem(await context.api.ask('GET', `${place}/${ids[2]}`), 404)
  const mixed = await context.api.ask('POST', `${place}/_bulk`, {
    body: { atomic: false, operations: failing },
  })
  if (!judge.status(mixed, 200)) return
  const each = takeResults(context, judge, mixed, place, failing)
  judge.expect(
    each[0]?.['status'] === 201 && each[1]?.['status'] === 409 && isJsonObject(each[1]['problem']),
    `a bulk that is not atomic has the results ${JSON.stringify(each.map(({ status }) => status))} instead of 201 and 409`,
  )
}

function takeResults(
  context: Context,
  judge: Judge,
  bulk: Exchange,
  place: string,
  operations: readonly { method: string }[],
): readonly JsonObject[] {
  const { results } = bulk.json as JsonObject
  if (
    !judge.expect(
      Array.isArray(results) && results.length === operations.length && results.every(isJsonObject),
      `${show(bulk)} without a result for each operation`,
    )
  )
    return []
  for (const [index, result] of (results as JsonObject[]).entries())
    if (Number(result['status']) < 300)
      context.ledger.take(asExchange(context, bulk, operations[index]!.method as Write, place, result))
  judge.expect(readMarker(bulk) !== undefined, `${show(bulk)} without a marker`)
  return results as JsonObject[]
}

async function checkHealth(context: Context, judge: Judge): Promise<void> {
  const exchange = await context.api.ask('GET', '/health')
  const { json, status } = exchange
  if (!isJsonObject(json) || json['streams'] === undefined)
    return missing(context, judge, 'health', show(exchange))
  const wanted = { ok: 200, degraded: 200, failing: 503 }[String(json['status'])]
  judge.expect(wanted === status, `${show(exchange)} with the status ${JSON.stringify(json['status'])}`)
  for (const { stream, epoch } of context.beginnings) {
    const own = (json['streams'] as JsonObject)[stream]
    if (judge.expect(isJsonObject(own), `/health says nothing of ${stream}`) && isJsonObject(own))
      judge.expect(
        own['epoch'] === epoch && Number.isSafeInteger(own['head']),
        `/health says ${JSON.stringify(own)} of ${stream}`,
      )
  }
}

export const retryChecks: readonly Check[] = [
  {
    id: 'retry.keys',
    rule: '4.13',
    title: 'a write with an Idempotency-Key is made once, however often it is sent',
    run: checkKeys,
  },
  {
    id: 'write.json-patch',
    rule: '4.14',
    title: 'a JSON Patch is carried out as a whole or not at all',
    run: checkJsonPatch,
  },
  {
    id: 'write.bulk',
    rule: '4.15 3.4',
    title: 'a bulk is one transaction, or each of its writes is',
    run: checkBulk,
  },
  { id: 'health', rule: '4.17', title: '/health says how the service stands', run: checkHealth },
]
