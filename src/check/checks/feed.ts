/** The feed: the change log over HTTP. PROTOCOL.md §5. */
import { isEqualJson, type JsonObject, streamOf } from '../../contract/index.ts'
import { show } from '../answer.ts'
import type { Context, Made } from '../context.ts'
import { parseFeedPage, positionIn, readFeedPage, readMarker } from '../feed.ts'
import type { Check, Judge } from '../judge.ts'
import type { Collection } from '../outline.ts'

interface Scene {
  readonly collection: Collection
  readonly stream: string
  readonly made: readonly Made[]
  readonly epoch: string
  /** The number before the first of what was made here. */
  readonly before: number
}

/** Makes three resources at the top, one after the other. */
async function setScene(context: Context): Promise<Scene> {
  const collection = context.outline.collections[0]!
  const place = await context.place(collection)
  const stream = streamOf(place)
  const { epoch, head } = await readFeedPage(context.api, stream, 'after=now')
  const made = []
  for (let number = 0; number < 3; number++) made.push(await context.make(collection, place))
  return { collection, stream, made, epoch, before: head }
}

async function checkPages(context: Context, judge: Judge): Promise<void> {
  const { api } = context
  const { stream, made, epoch, before } = await setScene(context)
  const exchange = await api.ask('GET', `/${stream}/_changes?after=${epoch}:${before}&limit=2`)
  const page = parseFeedPage(exchange)
  if (
    !judge.expect(
      page !== undefined,
      `${show(exchange)} without {stream, epoch, after, to, head, first, changes}`,
    ) ||
    page === undefined
  )
    return
  judge.expect(page.stream === stream && page.epoch === epoch, `the page is of ${page.stream}:${page.epoch}`)
  judge.expect(page.after === before, `the page says after ${page.after} and was asked for ${before}`)
  judge.expect(page.changes.length <= 2, `the page holds ${page.changes.length} changes, and its limit is 2`)
  judge.expect(
    page.to - page.after === page.changes.length,
    `the page (${page.after}, ${page.to}] holds ${page.changes.length} changes`,
  )
  judge.expect(
    page.to < page.head && page.first <= page.after + 1 && page.first >= 1,
    `to ${page.to}, head ${page.head}, first ${page.first} do not fit`,
  )
  const rest = await readFeedPage(api, stream, `after=${epoch}:${page.to}`)
  const resources = [...page.changes, ...rest.changes].map(({ resource }) => resource)
  for (const { path } of made)
    judge.expect(resources.includes(path), `no change behind ${before} is of ${path}`)
  const whole = await readFeedPage(api, stream, `after=${stream}:${epoch}:${before}`)
  judge.expect(isEqualJson(whole.changes[0], page.changes[0]), 'after as a whole position gives another page')
  const now = await readFeedPage(api, stream, 'after=now')
  judge.expect(now.changes.length === 0 && now.to === now.head, 'after=now holds changes')
  const [earliest, silent] = [
    await readFeedPage(api, stream, 'after=earliest&limit=1'),
    await readFeedPage(api, stream, 'limit=1'),
  ]
  judge.expect(
    earliest.after === earliest.first - 1,
    `after=earliest begins behind ${earliest.after}, and first is ${earliest.first}`,
  )
  judge.expect(
    isEqualJson(earliest.changes[0], silent.changes[0]),
    'without after the page is not that of earliest',
  )
}

async function checkUnder(context: Context, judge: Judge): Promise<void> {
  const { stream, made, epoch, before } = await setScene(context)
  const { path } = made[1]!
  const page = await readFeedPage(
    context.api,
    stream,
    `after=${epoch}:${before}&under=${encodeURIComponent(path)}`,
  )
  judge.expect(
    page.changes.length > 0 && page.changes.every(({ resource }) => resource === path),
    `under=${path} tells of ${page.changes.map(({ resource }) => resource).join(', ') || 'nothing'}`,
  )
  judge.expect(page.to >= before + 3, `under=${path} says that it looked up to ${page.to} only`)
  judge.problem(
    await context.api.ask(
      'GET',
      `/${stream}/_changes?under=${encodeURIComponent(`${path}/check${context.runId}`)}`,
    ),
    404,
  )
}

async function checkPositions(context: Context, judge: Judge): Promise<void> {
  const { api } = context
  const { stream, epoch } = await setScene(context)
  const other = epoch === 'zz' ? 'yy' : 'zz'
  const gone = await api.ask('GET', `/${stream}/_changes?after=${other}:1`)
  if (judge.problem(gone, 410, 'position-gone')) {
    const { marker } = gone.json as JsonObject
    const at = positionIn(readMarker({ headers: { 'lockstep-marker': String(marker) } }), stream)
    judge.expect(
      at?.epoch === epoch,
      `position-gone has the marker ${JSON.stringify(marker)} and not where ${stream} is now`,
    )
  }
  const { head, first } = await readFeedPage(api, stream, 'after=now')
  const ahead = await api.ask('GET', `/${stream}/_changes?after=${epoch}:${head + 1_000}`)
  if (judge.problem(ahead, 503, 'position-ahead'))
    judge.expect(ahead.headers['retry-after'] !== undefined, 'position-ahead has no Retry-After')
  if (first > 1)
    judge.problem(
      await api.ask('GET', `/${stream}/_changes?after=${epoch}:${first - 2}`),
      410,
      'position-gone',
    )
  judge.problem(await api.ask('GET', `/${stream}/_changes?after=nonsense`), 400)
  judge.problem(await api.ask('GET', `/${stream}/_changes?limit=0`), [400, 422])
  judge.problem(await api.ask('GET', `/${stream}/_changes?check=1`), [400, 422])
}

async function checkCompact(context: Context, judge: Judge): Promise<void> {
  const { collection, stream, made, epoch, before } = await setScene(context)
  const target = `/${stream}/_changes?after=${epoch}:${before}&compact=true`
  if (!context.isDeclared('compact') && (await context.api.ask('GET', target)).status !== 200)
    judge.skip('compact=true is not offered')
  const [first, second] = made
  const patch = collection.methods.has('PATCH')
    ? collection.sampler.vary(first!.state, context.nextNumber())
    : undefined
  const changed = patch === undefined ? undefined : await context.write('PATCH', first!.path, { body: patch })
  if (collection.methods.has('DELETE')) await context.write('DELETE', second!.path)
  const exchange = await context.api.ask('GET', target)
  const page = parseFeedPage(exchange)
  if (!judge.expect(page !== undefined, `${show(exchange)}, which is no page`) || page === undefined) return
  const resources = page.changes.map(({ resource }) => resource)
  judge.expect(new Set(resources).size === resources.length, 'a compact page tells of a resource twice')
  const entry = page.changes.find(({ resource }) => resource === first!.path)
  if (judge.expect(entry !== undefined, `a compact page does not tell of ${first!.path}`))
    judge.expect(
      isEqualJson(entry?.['state'], changed?.json ?? first!.state),
      `a compact page tells an older state of ${first!.path}`,
    )
  const last = page.changes.find(({ resource }) => resource === second!.path)
  if (collection.methods.has('DELETE'))
    judge.expect(
      last?.['event'] === 'deleted',
      `a compact page does not say that ${second!.path} was deleted`,
    )
}

async function checkEvents(context: Context, judge: Judge): Promise<void> {
  const { collection, stream, made, epoch, before } = await setScene(context)
  const controller = new AbortController()
  const events: { name: string; id: string; data: string }[] = []
  const enough = Promise.withResolvers<void>()
  const later = Promise.withResolvers<string>()
  let text = ''
  const listening = context.api.listen(
    `/${stream}/_changes?after=${epoch}:${before}`,
    controller.signal,
    part => {
      text += part.replaceAll('\r\n', '\n')
      for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n')) {
        const event = parseEvent(text.slice(0, end))
        text = text.slice(end + 2)
        if (event === undefined) continue
        events.push(event)
        if (event.name === 'head') enough.resolve()
        later.resolve(event.data)
      }
    },
  )
  const timer = setTimeout(() => enough.reject(new Error('no head came')), context.patienceMs)
  try {
    const outcome = await Promise.race([enough.promise.then(() => 'heard' as const), listening])
    if (outcome !== 'heard') {
      if (!context.isDeclared('event-stream')) judge.skip(`an event stream is not offered: ${show(outcome)}`)
      judge.fail(`${show(outcome)} as ${outcome.headers['content-type']}, and it ended`)
      return
    }
    const told = await waitFor(
      events,
      context.patienceMs,
      () => events.filter(({ name }) => name === 'message').length >= 3,
    )
    judge.expect(told, `an event stream from ${before} on did not tell of ${made.length} changes`)
    const place = await context.place(collection)
    const fresh = await context.make(collection, place)
    const heard = await waitFor(events, context.patienceMs, () =>
      events.some(({ data }) => data.includes(`"${fresh.path}"`)),
    )
    judge.expect(heard, `an event stream did not tell of ${fresh.path}, which was made while it was open`)
    judgeEvents(judge, events, before)
  } finally {
    clearTimeout(timer)
    controller.abort()
    await listening.catch(() => {})
  }
}

/** Looks again until it holds; the events come in by themselves. */
async function waitFor(
  _events: readonly unknown[],
  patienceMs: number,
  condition: () => boolean,
): Promise<boolean> {
  const end = performance.now() + patienceMs
  while (!condition()) {
    if (performance.now() > end) return false
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  return true
}

function judgeEvents(
  judge: Judge,
  events: readonly { name: string; id: string; data: string }[],
  before: number,
): void {
  let last = before
  for (const { name, id, data } of events) {
    const value = JSON.parse(data) as JsonObject
    const seq = Number(id.split(':').at(-1))
    if (name === 'message') {
      judge.expect(
        value['id'] === id,
        `an event has the id ${id} and its data ${JSON.stringify(value['id'])}`,
      )
      judge.expect(seq === last + 1, `${id} came behind ${last}`)
      last = seq
    } else if (name === 'head') {
      judge.expect(
        seq === value['seq'],
        `an event head has the id ${id} and the seq ${JSON.stringify(value['seq'])}`,
      )
      judge.expect(seq <= last, `a head of ${seq} came before the changes up to it: ${last} was the last`)
    }
  }
  judge.say(`${events.length} events`)
}

function parseEvent(block: string): { name: string; id: string; data: string } | undefined {
  let [name, id, data] = ['message', '', '']
  for (const line of block.split('\n')) {
    const [, field, value = ''] = /^(\w+): ?(.*)$/.exec(line) ?? []
    if (field === 'event') name = value
    if (field === 'id') id = value
    if (field === 'data') data += value
  }
  return data === '' ? undefined : { name, id, data }
}

async function checkCaching(context: Context, judge: Judge): Promise<void> {
  const { stream } = await setScene(context)
  const open = await context.api.ask('GET', `/${stream}/_changes?after=now`)
  judge.expect(
    /no-store|no-cache/.test(open.headers['cache-control'] ?? ''),
    `a page that is not over has Cache-Control ${open.headers['cache-control']}: it would be kept`,
  )
  judge.expect(!/public/.test(open.headers['cache-control'] ?? ''), 'a page of the feed is public')
}

export const feedChecks: readonly Check[] = [
  {
    id: 'feed.pages',
    rule: '5.4',
    title: 'a page of the feed holds every change of its interval, from wherever it is asked',
    run: checkPages,
  },
  {
    id: 'feed.under',
    rule: '5.5',
    title: 'under= leaves out what is not below a path, and is 404 for a path that cannot be',
    run: checkUnder,
  },
  {
    id: 'feed.positions',
    rule: '4.12 5.7 5.8',
    title: 'positions of another epoch are 410, positions ahead 503, and never answered with something else',
    run: checkPositions,
  },
  {
    id: 'feed.compact',
    rule: '5.6',
    title: 'compact=true gives the last of what became of each resource',
    run: checkCompact,
  },
  {
    id: 'feed.events',
    rule: '5.9',
    title: 'the event stream tells each change with its position, and heads only behind what they cover',
    run: checkEvents,
  },
  {
    id: 'feed.caching',
    rule: '5.10',
    title: 'a page that may still change is not cached',
    run: checkCaching,
  },
]
