/** After all: promises that every answer must keep, judged on all of them; heads; and the live copy beside the API. */
import { isEqualJson, streamOf } from '../../contract/index.ts'
import { findProblemFault, show } from '../answer.ts'
import type { Exchange } from '../api.ts'
import { type Context, streamsOf } from '../context.ts'
import { positionIn, readFeedPage, readMarker } from '../feed.ts'
import type { Check, Judge } from '../judge.ts'
import { canonical, readTag } from '../ledger.ts'

interface Answer {
  readonly exchange: Exchange
  /** The canonical path that was asked for. */
  readonly path: string
  readonly stream: string
}

/** The answers about mirrored paths, without what the protocol itself reserves. */
function answersOf({ api, outline }: Context): Answer[] {
  const streams = new Set(streamsOf(outline))
  return api.exchanges.flatMap(exchange => {
    const path = canonical(exchange.target)
    return path === undefined || !streams.has(streamOf(path))
      ? []
      : [{ exchange, path, stream: streamOf(path) }]
  })
}

function checkHeaders(context: Context, judge: Judge): void {
  const answers = answersOf(context)
  for (const { exchange, path, stream } of answers) {
    if (exchange.status === 400 || exchange.status >= 500) continue
    const { headers, method, status } = exchange
    const own = context.topicPrefix + path.slice(1)
    const topic = headers['lockstep-topic']
    const isMade = method === 'POST' && status >= 200 && status < 300
    judge.expect(
      isMade ? topic?.startsWith(`${own}/`) === true : topic === own,
      `${show(exchange)} with Lockstep-Topic ${topic}: it is ${isMade ? 'that of the resource that was made' : own}`,
    )
    const address = /<([^>]*)>\s*;\s*rel="?changes"?/.exec(headers['link'] ?? '')?.[1] ?? ''
    judge.expect(
      address.endsWith(`/${stream}/_changes`),
      `${show(exchange)} with Link ${headers['link']}: the feed of ${stream} is missing`,
    )
  }
  judge.say(`${answers.length} answers`)
}

function checkProblems(context: Context, judge: Judge): void {
  const refused = context.api.exchanges.filter(({ status, method }) => status >= 400 && method !== 'HEAD')
  for (const exchange of refused) {
    const fault = findProblemFault(exchange)
    if (fault !== undefined) judge.fail(`${show(exchange)}: ${fault}`)
  }
  judge.say(`${refused.length} answers`)
}

function checkTags(context: Context, judge: Judge): void {
  for (const { exchange, path } of answersOf(context)) {
    const { method, status, headers } = exchange
    if (!['GET', 'HEAD', 'POST', 'PUT', 'PATCH'].includes(method) || status < 200 || status > 201) continue
    const isList = path.split('/').length % 2 === 0 && method !== 'POST'
    // A list that was put together while others wrote may have none (10.9).
    if (isList && headers['etag'] === undefined) continue
    const tag = readTag(headers['etag'])
    judge.expect(
      tag?.kind === (isList ? 'seq' : 'version'),
      `${show(exchange)} with the ETag ${headers['etag']}`,
    )
  }
}

async function checkMarkers(context: Context, judge: Judge): Promise<void> {
  const answers = answersOf(context).filter(
    ({ exchange: { status, method } }) =>
      status < 400 || (method === 'GET' && (status === 404 || status === 410)),
  )
  const numbers = new Map<string, number>()
  const versions = new Map<string, { seq: number; version: number }[]>()
  for (const stream of streamsOf(context.outline)) {
    for (const { resource, version, id } of await context.told(stream)) {
      const seq = Number(String(id).split(':').at(-1))
      numbers.set(`${resource} ${version}`, seq)
      versions.set(String(resource), [
        ...(versions.get(String(resource)) ?? []),
        { seq, version: Number(version) },
      ])
    }
  }
  const begun = context.ledger.written
    .map(({ resource, version, exchange }) => ({
      stream: streamOf(resource),
      begunAt: exchange.begunAt,
      seq: numbers.get(`${resource} ${version}`),
    }))
    .filter(({ seq }) => seq !== undefined)
    .sort((a, b) => a.begunAt - b.begunAt)
  for (const { exchange, path, stream } of answers) {
    const position = positionIn(readMarker(exchange), stream)
    if (
      !judge.expect(
        position !== undefined,
        `${show(exchange)} with the marker ${exchange.headers['lockstep-marker']}, which says nothing of ${stream}`,
      )
    )
      continue
    const { seq } = position!
    const later = begun.find(each => each.begunAt > exchange.endedAt && each.stream === stream)
    judge.expect(
      later === undefined || later.seq! > seq,
      `${show(exchange)} with a marker at ${seq}, and the change ${later?.seq} was asked for only after that: the marker is too high`,
    )
    if (exchange.method !== 'GET' || exchange.status !== 200) continue
    const tag = readTag(exchange.headers['etag'])
    if (tag?.kind !== 'version') continue
    const newer = versions.get(path)?.find(each => each.seq <= seq && each.version > tag.number)
    judge.expect(
      newer === undefined,
      `${show(exchange)} with version ${tag.number} and a marker at ${seq}, where version ${newer?.version} is ${newer?.seq}`,
    )
  }
  for (const { resource, version, exchange } of context.ledger.written) {
    const own = numbers.get(`${resource} ${version}`)
    const position = positionIn(readMarker(exchange), streamOf(resource))
    if (own === undefined || position === undefined) continue
    judge.expect(
      position.seq >= own,
      `${show(exchange)} with a marker at ${position.seq}, before its own change ${own}`,
    )
  }
  judge.say(`${answers.length} answers`)
}

async function checkHeads(context: Context, judge: Judge): Promise<void> {
  const { hearing, topicPrefix } = context
  if (hearing === undefined) return judge.skip('no broker was given')
  judge.expect(hearing.unreadable.length === 0, () => `what came as a head is none: ${hearing.unreadable[0]}`)
  for (const { stream, epoch, head: begin } of context.beginnings) {
    const topic = `${topicPrefix}lockstep/head/${stream}`
    const own = (): typeof hearing.heads => hearing.heads.filter(each => each.topic === topic)
    const came = await hearing.until(() => own().length > 0, context.patienceMs)
    if (!judge.expect(came, `no head came on ${topic} within 5 s and some grace`)) continue
    const now = await readFeedPage(context.api, stream, 'after=now')
    for (const { head } of own()) {
      judge.expect(
        head.stream === stream && head.epoch === epoch,
        `a head on ${topic} is of ${head.stream}:${head.epoch}`,
      )
      judge.expect(head.seq <= now.head, `a head on ${topic} is at ${head.seq}, and the feed at ${now.head}`)
      judge.expect(
        head.seq >= begin || hearing.losses > 0,
        `a head on ${topic} is at ${head.seq}, and the stream was at ${begin} before`,
      )
    }
  }
  judge.say(`${hearing.heads.length} heads, ${hearing.retainedHeads.length} retained`)
}

const maxCompared = 200

async function checkCopy(context: Context, judge: Judge): Promise<void> {
  const { hearing, copies, api, ledger } = context
  if (ledger.written.length === 0) return judge.skip('nothing was written')
  let compared = 0
  for (const [stream, copy] of copies) {
    for (const { json } of hearing?.messages ?? []) if (json !== undefined) copy.take(json)
    const { head } = await readFeedPage(api, stream, 'after=now')
    if (copy.position < head) for (const change of await context.told(stream)) copy.take(change)
    judge.expect(copy.faults.length === 0, () => copy.faults[0]!)
    judge.expect(
      copy.position >= head,
      `the copy of ${stream} is at ${copy.position} of ${head}, with all messages and all of the feed`,
    )
    const ours = [...copy.resources].filter(([path]) => ledger.isOurs(path))
    const others = [...copy.resources].filter(([path]) => !ledger.isOurs(path)).slice(0, maxCompared)
    for (const [path, held] of [...ours, ...others]) {
      const read = await api.ask('GET', path)
      const tag = readTag(read.headers['etag'])
      compared++
      if (held.isDeleted)
        judge.expect([404, 410].includes(read.status), `${path} is deleted in the copy, and ${show(read)}`)
      else if (!judge.expect(read.status === 200, `${path} is in the copy, and ${show(read)}`)) continue
      else if (tag !== undefined && tag.number > held.version && !ledger.isOurs(path)) continue
      else {
        judge.expect(
          held.version === 0 || tag?.number === held.version,
          `${path} is version ${held.version} in the copy and ${tag?.number} in the API`,
        )
        judge.expect(
          held.isOpen || isEqualJson(held.state, read.json),
          `${path} is another in the copy than in the API`,
        )
      }
    }
    for (const root of ledger.roots)
      if (streamOf(root) === stream)
        judge.expect(copy.resources.has(root), `${root} was made and is not in the copy`)
  }
  judge.say(`${compared} resources`)
}

export const recordChecks: readonly Check[] = [
  {
    id: 'answers.headers',
    rule: '4.2',
    title: 'every answer names its topic and leads to its feed',
    run: checkHeaders,
  },
  { id: 'answers.etags', rule: '4.4', title: 'every representation has its ETag', run: checkTags },
  {
    id: 'answers.markers',
    rule: '4.3',
    title: 'every answer has a marker that is a lower bound',
    run: checkMarkers,
  },
  { id: 'answers.problems', rule: '4.9', title: 'every refusal is a problem document', run: checkProblems },
  {
    id: 'heads.published',
    rule: '3.8',
    title: 'heads come every 5 s and say where the feed is',
    run: checkHeads,
  },
  {
    id: 'copy.equal',
    rule: '6.2 6.3 6.6',
    title: 'a copy that is kept by messages alone equals the API',
    run: checkCopy,
  },
]
