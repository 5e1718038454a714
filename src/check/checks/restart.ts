/** The service is ended without warning while it is written to, and started again. PROTOCOL.md §7. */
import { isEqualJson, type JsonObject, streamOf } from '../../contract/index.ts'
import { show } from '../answer.ts'
import type { Exchange } from '../api.ts'
import type { Context, Made } from '../context.ts'
import { readFeedPage } from '../feed.ts'
import type { Check, Judge } from '../judge.ts'
import type { Collection } from '../outline.ts'

const writers = 4
const startMs = 60_000

async function checkRestart(context: Context, judge: Judge): Promise<void> {
  const { restart, api, beginnings, hearing } = context
  if (restart === undefined) return judge.skip('no command for it was given (--restart)')
  const collection = context.outline.collections.find(({ methods }) => methods.has('PATCH'))
  if (collection === undefined) return judge.skip('there is no PATCH')
  const place = await context.place(collection)
  const stream = streamOf(place)
  const kept = await context.make(collection, place)
  const key = { 'idempotency-key': `check-${context.runId}-restart` }
  const body = collection.sampler.make(context.nextNumber())
  const keyed = collection.methods.has('POST')
    ? await context.write('POST', place, { body, headers: key })
    : undefined
  const heads = hearing?.heads.length ?? 0
  const acknowledged = await writeDuring(context, collection, place, restart)
  const first = await untilAnswers(context, kept.path)
  judge.expect(
    isEqualJson(first.json, kept.state),
    `${show(first)} after a restart without ${kept.path} as it was`,
  )
  const { epoch } = await readFeedPage(api, stream, 'after=now')
  const before = beginnings.find(each => each.stream === stream)!.epoch
  if (
    !judge.expect(
      epoch === before,
      `the epoch of ${stream} was ${before} and is ${epoch} after a restart: nothing was restored (7.5)`,
    )
  )
    return
  for (const [path, last] of acknowledged) {
    const read = await api.ask('GET', path)
    const version = (exchange: Exchange): number =>
      Number(/\.(\d+)/.exec(exchange.headers['etag'] ?? '')?.[1])
    // One more may have been made, of which the answer was lost.
    judge.expect(
      [0, 1].includes(version(read) - version(last)),
      `${path} was acknowledged as version ${version(last)} and is ${version(read)} after a restart`,
    )
  }
  const patch = collection.sampler.vary(kept.state, context.nextNumber()) as JsonObject
  const next = await context.write('PATCH', kept.path, { body: patch, headers: { 'if-match': kept.tag } })
  judge.expect(next.status === 200, `${show(next)}: an ETag of before a restart still counts`)
  if (keyed?.status === 201 && context.isDeclared('idempotency')) {
    const again = await context.write('POST', place, { body, headers: key })
    judge.expect(
      again.headers['idempotency-replayed'] === 'true',
      `${show(again)}: its key was forgotten with the restart`,
    )
  }
  if (hearing !== undefined) {
    const came = await hearing.until(
      () => hearing.heads.slice(heads).some(({ head }) => head.stream === stream),
      context.patienceMs,
    )
    judge.expect(came, `no head of ${stream} came after a restart`)
  }
  judge.say(`${acknowledged.size} writers`)
}

/** Writes until the service is gone. Gives the last acknowledged answer of each resource. */
async function writeDuring(
  context: Context,
  collection: Collection,
  place: string,
  restart: () => Promise<void>,
): Promise<Map<string, Exchange>> {
  const acknowledged = new Map<string, Exchange>()
  const warm = Promise.withResolvers<void>()
  let isOver = false
  // Made before, so that the end of the service meets changes only.
  const made = await Promise.all(Array.from({ length: writers }, () => context.make(collection, place)))
  const one = async ({ path, state, exchange }: Made): Promise<void> => {
    context.ledger.doubt(path)
    acknowledged.set(path, exchange)
    for (let number = 0; !isOver; number++) {
      const body = collection.sampler.vary(state, context.nextNumber())
      const answer = await context.write('PATCH', path, { body }).catch(() => undefined)
      if (answer?.status !== 200) return
      acknowledged.set(path, answer)
      if (number === 3) warm.resolve()
    }
  }
  const writing = Promise.all(made.map(one))
  await Promise.race([warm.promise, writing])
  await restart().finally(() => {
    isOver = true
  })
  await writing
  return acknowledged
}

async function untilAnswers({ api }: Context, path: string): Promise<Exchange> {
  const end = performance.now() + startMs
  for (;;) {
    const answer = await api.ask('GET', path).catch((error: unknown) => error as Error)
    if (!(answer instanceof Error) && answer.status < 500) return answer
    if (performance.now() > end) throw answer instanceof Error ? answer : new TypeError(show(answer))
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

export const restartChecks: readonly Check[] = [
  {
    id: 'restart.acknowledged',
    rule: '7.1 7.5 3.8',
    title: 'what was acknowledged is there after a restart, and everything goes on where it was',
    run: checkRestart,
  },
]
