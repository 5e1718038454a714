/** What a write does, and what it answers. PROTOCOL.md §4. */
import { isEqualJson, isJsonObject, type JsonObject, streamOf } from '../../contract/index.ts'
import { show } from '../answer.ts'
import type { Context } from '../context.ts'
import { readFeedPage } from '../feed.ts'
import type { Check, Judge } from '../judge.ts'
import { readTag, readVersion } from '../ledger.ts'
import type { Collection } from '../outline.ts'
import { any, onEach, patches, varied } from '../per-collection.ts'

/** The head of a stream now. */
async function headOf({ api }: Context, path: string): Promise<string> {
  const { epoch, head } = await readFeedPage(api, streamOf(path), 'after=now')
  return `${epoch}:${head}`
}

async function checkCreate(
  context: Context,
  judge: Judge,
  collection: Collection,
  place: string,
): Promise<void> {
  if (!collection.methods.has('POST')) return
  const body = collection.sampler.make(context.nextNumber())
  const exchange = await context.write('POST', place, { body })
  if (!judge.status(exchange, 201)) return
  const { headers, json } = exchange
  if (
    !judge.expect(
      isJsonObject(json) && typeof json['id'] === 'string',
      `${show(exchange)} without a representation that has an id (4.1)`,
    )
  )
    return
  const written = context.ledger.written.at(-1)
  judge.expect(headers['location'] !== undefined, `${show(exchange)} without Location`)
  if (
    !judge.expect(
      written?.exchange === exchange,
      `${show(exchange)}: Location and ETag do not say which resource and version it is`,
    )
  )
    return
  const { resource } = written!
  const id = decodeURIComponent(resource.slice(resource.lastIndexOf('/') + 1))
  judge.expect(
    (json as JsonObject)['id'] === id,
    `the id of ${resource} is ${JSON.stringify((json as JsonObject)['id'])} (4.1)`,
  )
  for (const [name, value] of Object.entries(body))
    judge.expect(
      isEqualJson((json as JsonObject)[name], value),
      `${name} of ${resource} is not what was sent`,
    )
  const read = await context.api.ask('GET', resource)
  judge.status(read, 200)
  judge.expect(isEqualJson(read.json, json), `GET ${resource} does not show what POST answered`)
  judge.expect(
    read.headers['etag'] === headers['etag'],
    `the ETag of ${resource} is ${read.headers['etag']} and was ${headers['etag']}`,
  )
  const fault = collection.validate?.(json as JsonObject)[0]
  judge.expect(fault === undefined, `${resource} does not fit its documented schema: ${fault}`)
}

async function checkChosenId(
  context: Context,
  judge: Judge,
  collection: Collection,
  place: string,
): Promise<void> {
  if (!collection.methods.has('POST')) return
  const made = await context.make(collection, place)
  judge.expect(
    made.state['id'] === made.id,
    `the id ${made.id} was chosen and ${JSON.stringify(made.state['id'])} was made`,
  )
  const again = await context.write('POST', place, { body: { id: made.id, ...collection.sampler.make(0) } })
  judge.problem(again, 409)
}

async function checkPatch(
  context: Context,
  judge: Judge,
  collection: Collection,
  place: string,
): Promise<void> {
  const made = await context.make(collection, place)
  const patch = varied(context, judge, collection, made.state)
  const exchange = await context.write('PATCH', made.path, {
    body: patch,
    contentType: 'application/merge-patch+json',
  })
  if (!judge.status(exchange, 200)) return
  expectVersion(judge, exchange, made.version + 1)
  const read = await context.api.ask('GET', made.path)
  judge.expect(isEqualJson(read.json, exchange.json), `GET ${made.path} does not show what PATCH answered`)
  for (const [name, value] of Object.entries(patch)) {
    if (value === null || isJsonObject(value)) continue
    judge.expect(
      isEqualJson((read.json as JsonObject)?.[name], value),
      `${name} of ${made.path} was not changed`,
    )
  }
  for (const [name, value] of Object.entries(made.state))
    if (!Object.hasOwn(patch, name) && isJsonObject(read.json) && name !== 'id')
      judge.expect(
        Object.hasOwn(read.json, name) || value === null,
        `${name} of ${made.path} was lost by a patch of other members (RFC 7396)`,
      )
  const plain = await context.write('PATCH', made.path, {
    body: varied(context, judge, collection, exchange.json as JsonObject),
  })
  judge.expect(plain.status === 200, `${show(plain)}: application/json is read as a merge patch (4.6)`)
}

function expectVersion(
  judge: Judge,
  exchange: Parameters<typeof show>[0] & { headers: Readonly<Record<string, string>> },
  wanted: number,
): void {
  const tag = exchange.headers['etag']
  const read = readTag(tag)
  judge.expect(
    read?.kind === 'version',
    `${show(exchange)} with the ETag ${tag}, which is not "{epoch}.{version}" (4.4)`,
  )
  if (read?.kind === 'version')
    judge.expect(
      read.number === wanted,
      `${show(exchange)} with version ${read.number} instead of ${wanted} (7.2)`,
    )
}

async function checkPut(
  context: Context,
  judge: Judge,
  collection: Collection,
  place: string,
): Promise<void> {
  const made = await context.make(collection, place)
  const body = { id: made.id, ...collection.sampler.make(context.nextNumber()) }
  const exchange = await context.write('PUT', made.path, { body })
  if (!judge.status(exchange, 200)) return
  const isSame = isEqualJson(made.state, exchange.json)
  expectVersion(judge, exchange, made.version + (isSame ? 0 : 1))
  const fresh = `${place}/check-${context.runId}-${context.nextNumber()}`
  const created = await context.write('PUT', fresh, { body: collection.sampler.make(0) })
  if (!judge.status(created, 201)) return
  judge.expect(
    isJsonObject(created.json) && fresh.endsWith(`/${String(created.json['id'])}`),
    `PUT ${fresh} made another id`,
  )
  const other = await context.write('PUT', fresh, { body: { id: 'another', ...collection.sampler.make(0) } })
  judge.expect(other.status >= 400 && other.status < 500, `${show(other)}: the id never changes (4.1)`)
}

async function checkDelete(
  context: Context,
  judge: Judge,
  collection: Collection,
  place: string,
): Promise<void> {
  const made = await context.make(collection, place)
  const exchange = await context.write('DELETE', made.path)
  judge.status(exchange, 204)
  judge.expect(exchange.text === '', 'a 204 has no body')
  judge.problem(await context.api.ask('GET', made.path), [404, 410])
  judge.problem(await context.write('DELETE', made.path), [404, 410])
  judge.problem(await context.api.ask('GET', `${place}/check-${context.runId}-never`), 404)
  if (!collection.methods.has('POST')) return
  const again = await context.make(collection, place, { id: made.id })
  judge.expect(
    again.version === made.version + 2,
    `${made.path} was deleted as version ${made.version + 1} and made again as ${again.version} (4.7)`,
  )
}

async function checkNoOp(
  context: Context,
  judge: Judge,
  collection: Collection,
  place: string,
): Promise<void> {
  const made = await context.make(collection, place)
  const before = await headOf(context, place)
  const [name, value] = Object.entries(made.state).find(([key, own]) => key !== 'id' && own !== null) ?? []
  const body: JsonObject = name === undefined ? {} : { [name]: value! }
  const writes = [
    ...(collection.methods.has('PATCH')
      ? [
          await context.write('PATCH', made.path, { body }),
          await context.write('PATCH', made.path, { body: {} }),
        ]
      : []),
    ...(collection.methods.has('PUT') ? [await context.write('PUT', made.path, { body: made.state })] : []),
  ]
  for (const exchange of writes) {
    if (!judge.status(exchange, 200)) continue
    if (!isEqualJson(exchange.json, made.state)) continue
    judge.expect(
      readVersion(exchange) === made.version,
      `${show(exchange)} with another version although it changes nothing`,
    )
  }
  const after = await headOf(context, place)
  if (writes.every(({ json }) => isEqualJson(json, made.state)))
    judge.expect(before === after, `writes that change nothing brought the stream from ${before} to ${after}`)
}

async function checkRefused(
  context: Context,
  judge: Judge,
  collection: Collection,
  place: string,
): Promise<void> {
  const made = await context.make(collection, place)
  const before = await headOf(context, place)
  const stale = `"${readTag(made.tag)?.epoch ?? 'a'}.999999999"`
  const headers = { 'if-match': stale }
  const body = collection.sampler.make(context.nextNumber())
  const post = collection.methods.has('POST')
  if (post) {
    judge.problem(
      await context.write('POST', place, { body: '{"id": ', contentType: 'application/json' }),
      400,
    )
    judge.problem(await context.write('POST', place, { body: [] }), [400, 422])
    judge.problem(await context.write('POST', place, { body: { id: made.id, ...body } }), 409)
    judge.problem(await context.write('POST', place, { body: 'a text', contentType: 'text/plain' }), 415)
    judge.problem(await context.write('POST', place, { body: JSON.stringify(body), contentType: false }), 415)
    judge.problem(
      await context.write('POST', place, { body: '{"check":12345678901234567890}' }),
      422,
      'unsafe-number',
    )
  }
  if (patches(collection))
    judge.problem(await context.write('PATCH', made.path, { body: { id: 'another' } }), [400, 409, 422])
  if (patches(collection)) judge.problem(await context.write('PATCH', made.path, { body, headers }), 412)
  if (collection.methods.has('PUT'))
    judge.problem(await context.write('PUT', made.path, { body, headers }), 412)
  if (collection.methods.has('DELETE'))
    judge.problem(await context.write('DELETE', made.path, { headers }), 412)
  const read = await context.api.ask('GET', made.path)
  judge.expect(isEqualJson(read.json, made.state), `${made.path} was changed by a write that was refused`)
  const after = await headOf(context, place)
  judge.expect(before === after, `writes that were refused brought the stream from ${before} to ${after}`)
}

async function checkRequestId(
  context: Context,
  judge: Judge,
  collection: Collection,
  place: string,
): Promise<void> {
  const cause = `check-${context.runId}-cause-${context.nextNumber()}`
  const { exchange, path } = await context.make(collection, place, { headers: { 'x-request-id': cause } })
  judge.expect(
    exchange.headers['x-request-id'] === cause,
    `X-Request-Id came back as ${exchange.headers['x-request-id']}`,
  )
  const { changes } = await readFeedPage(
    context.api,
    streamOf(path),
    `after=${beginningOf(context, path)}&limit=1000&under=${encodeURIComponent(path)}`,
  )
  judge.expect(
    changes.some(change => change['cause'] === cause),
    `no change of ${path} has the cause ${cause}`,
  )
}

function beginningOf({ beginnings }: Context, path: string): string {
  const { epoch, head } = beginnings.find(({ stream }) => stream === streamOf(path))!
  return `${epoch}:${head}`
}

export const writingChecks: readonly Check[] = [
  {
    id: 'write.create',
    rule: '4.1 4.5',
    title: 'POST makes a resource: 201, Location, ETag, and the representation that GET shows',
    run: (context, judge) => onEach(context, judge, any, '', (...at) => checkCreate(context, judge, ...at)),
  },
  {
    id: 'write.chosen-id',
    rule: '4.5',
    title: 'the client may choose the id, and one that is taken is 409',
    run: (context, judge) => onEach(context, judge, any, '', (...at) => checkChosenId(context, judge, ...at)),
  },
  {
    id: 'write.patch',
    rule: '4.5 4.6 7.2',
    title: 'PATCH merges, answers with the representation, and makes the next version',
    run: (context, judge) =>
      onEach(context, judge, patches, 'there is no PATCH', (...at) => checkPatch(context, judge, ...at)),
  },
  {
    id: 'write.put',
    rule: '4.5 4.1',
    title: 'PUT replaces with 200 and creates with 201',
    run: (context, judge) =>
      onEach(
        context,
        judge,
        ({ methods }) => methods.has('PUT'),
        'there is no PUT',
        (...at) => checkPut(context, judge, ...at),
      ),
  },
  {
    id: 'write.delete',
    rule: '4.5 4.7 7.3',
    title: 'DELETE is 204, then 404 or 410; what is made again continues the versions',
    run: (context, judge) =>
      onEach(
        context,
        judge,
        ({ methods }) => methods.has('DELETE'),
        'there is no DELETE',
        (...at) => checkDelete(context, judge, ...at),
      ),
  },
  {
    id: 'write.no-op',
    rule: '3.3',
    title: 'a write that changes nothing makes no version and no change',
    run: (context, judge) =>
      onEach(
        context,
        judge,
        ({ methods }) => methods.has('PATCH') || methods.has('PUT'),
        'there is neither PATCH nor PUT',
        (...at) => checkNoOp(context, judge, ...at),
      ),
  },
  {
    id: 'write.refused',
    rule: '4.6 4.9 4.10 7.1',
    title: 'a write that is refused changes nothing and answers with a problem document',
    run: (context, judge) => onEach(context, judge, any, '', (...at) => checkRefused(context, judge, ...at)),
  },
  {
    id: 'write.request-id',
    rule: '4.11',
    title: 'X-Request-Id comes back, and is the cause of the change',
    run: (context, judge) =>
      onEach(context, judge, any, '', (...at) => checkRequestId(context, judge, ...at)),
  },
]
