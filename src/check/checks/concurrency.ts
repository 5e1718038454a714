/** Writers at the same time. PROTOCOL.md 4.3, 4.4 and §7. */
import {
  applyMergePatch,
  isEqualJson,
  isJsonObject,
  type JsonObject,
  streamOf,
  tryEncodeSegment,
} from '../../contract/index.ts'
import { show } from '../answer.ts'
import type { Context } from '../context.ts'
import { type Copied, createCopy } from '../copy.ts'
import { positionIn, readFeed, readMarker } from '../feed.ts'
import type { Check, Judge } from '../judge.ts'
import type { Collection } from '../outline.ts'

const writers = 8
const writesEach = 4

/** A collection of which resources can be changed. */
function changeable({ outline }: Context, judge: Judge): Collection {
  return outline.collections.find(({ methods }) => methods.has('PATCH')) ?? judge.skip('there is no PATCH')
}

async function checkOneWins(context: Context, judge: Judge): Promise<void> {
  const collection = changeable(context, judge)
  const made = await context.make(collection, await context.place(collection))
  const bodies = Array.from({ length: writers }, () =>
    collection.sampler.vary(made.state, context.nextNumber()),
  )
  if (bodies.includes(undefined)) judge.skip('nothing to change was found')
  const headers = { 'if-match': made.tag }
  const answers = await Promise.all(bodies.map(body => context.write('PATCH', made.path, { body, headers })))
  const won = answers.filter(({ status }) => status === 200)
  judge.expect(won.length === 1, `of ${writers} writes with the same If-Match ${won.length} were made`)
  for (const answer of answers) if (answer.status !== 200) judge.problem(answer, 412)
  const read = await context.api.ask('GET', made.path)
  judge.expect(
    won.some(({ json }) => isEqualJson(json, read.json)),
    `${made.path} is not what the one that was made answered`,
  )
}

async function checkWriters(context: Context, judge: Judge): Promise<void> {
  const collection = changeable(context, judge)
  const place = await context.place(collection)
  const shared = await context.make(collection, place)
  const one = async (): Promise<void> => {
    const own = await context.make(collection, place)
    for (let number = 0; number < writesEach; number++) {
      for (const { path, state } of [own, shared]) {
        const body = collection.sampler.vary(state, context.nextNumber())
        if (body === undefined) continue
        judge.status(await context.write('PATCH', path, { body }), 200)
      }
    }
  }
  await Promise.all(Array.from({ length: writers }, one))
  const [read, changes] = [await context.api.ask('GET', shared.path), await context.told(streamOf(place))]
  let state: JsonObject | undefined
  for (const change of changes.filter(({ resource }) => resource === shared.path)) {
    const { state: whole, changes: patch } = change
    state = isJsonObject(whole) ? whole : (applyMergePatch(state, patch!) as JsonObject)
  }
  judge.expect(
    isEqualJson(state, read.json),
    `the changes of ${shared.path} in their order do not lead to what GET shows`,
  )
  const known = new Set(changes.map(({ resource, version }) => `${resource} ${version}`))
  const lost = context.ledger.written.filter(
    ({ resource, version }) => resource === shared.path && !known.has(`${resource} ${version}`),
  )
  judge.expect(
    lost.length === 0,
    () => `version ${lost[0]!.version} of ${shared.path} was acknowledged and is not in the feed`,
  )
  judge.say(`${writers} writers, ${writers * writesEach * 2} writes`)
}

/** A list that is read while others write, and the feed behind its marker, must give what is there in the end. */
async function checkBaselines(context: Context, judge: Judge): Promise<void> {
  const { api } = context
  const collection = changeable(context, judge)
  const place = await context.place(collection)
  const stream = streamOf(place)
  const resources = await Promise.all(Array.from({ length: 4 }, () => context.make(collection, place)))
  let isOver = false
  const write = async (index: number): Promise<void> => {
    for (let number = 0; number < writesEach * 3; number++) {
      const { path, state } = resources[(index + number) % resources.length]!
      const body = collection.sampler.vary(state, context.nextNumber())
      if (body !== undefined) await context.write('PATCH', path, { body })
      if (number % 5 === 4) await context.make(collection, place)
    }
  }
  const baselines: Awaited<ReturnType<typeof api.ask>>[] = []
  const read = async (): Promise<void> => {
    while (!isOver && baselines.length < 50)
      baselines.push(await api.ask('GET', `${place}?versions=true&limit=1000`))
  }
  const reading = read()
  await Promise.all([0, 1, 2, 3].map(write))
  isOver = true
  await reading
  const last = await api.ask('GET', `${place}?versions=true&limit=1000`)
  if (last.headers['link']?.includes('rel="next"')) judge.skip(`${place} is larger than a page`)
  const step = Math.max(1, Math.floor(baselines.length / 8))
  for (const baseline of baselines.filter((_, index) => index % step === 0)) {
    const position = positionIn(readMarker(baseline), stream)
    if (
      !judge.expect(
        baseline.status === 200 && position !== undefined,
        `${show(baseline)} without a Lockstep-Marker of ${stream}`,
      )
    )
      return
    const items = new Map<string, Copied>()
    const versions = (baseline.headers['lockstep-versions'] ?? '').split(',').map(Number)
    for (const [index, state] of (baseline.json as JsonObject[]).entries())
      items.set(`${place}/${tryEncodeSegment(String(state['id']))}`, {
        version: versions[index]!,
        state,
        isDeleted: false,
        isOpen: false,
      })
    const copy = createCopy(stream, position!.epoch, position!.seq, items)
    for (const change of (await readFeed(api, stream, position!.epoch, position!.seq)).changes)
      copy.take(change)
    for (const state of last.json as JsonObject[]) {
      const path = `${place}/${tryEncodeSegment(String(state['id']))}`
      const held = copy.resources.get(path)
      judge.expect(
        isEqualJson(held?.state, state),
        `a list with the marker ${stream}:${position!.epoch}:${position!.seq}, and the changes behind it, do not give ${path} as it is: the marker is too high`,
      )
    }
  }
  judge.say(`${baselines.length} lists while 4 wrote`)
}

export const concurrencyChecks: readonly Check[] = [
  {
    id: 'together.one-wins',
    rule: '4.4',
    title: 'of several writes with the same If-Match exactly one is made',
    run: checkOneWins,
  },
  {
    id: 'together.writers',
    rule: '7.1 7.2',
    title: 'writers at the same time lose nothing of each other, and their changes have one order',
    run: checkWriters,
  },
  {
    id: 'together.baselines',
    rule: '4.3 6.1',
    title: 'a list that is read while others write has a marker from which the feed leads to the truth',
    run: checkBaselines,
  },
]
