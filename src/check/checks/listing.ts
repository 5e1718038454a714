/** Collections as they are read. PROTOCOL.md 4.8 and 4.12. */
import { isEqualJson, isJsonObject, streamOf, tryEncodeSegment } from '../../contract/index.ts'
import { show } from '../answer.ts'
import type { Exchange } from '../api.ts'
import type { Context } from '../context.ts'
import { nextTarget } from '../copy.ts'
import type { Check, Judge } from '../judge.ts'
import { readTag } from '../ledger.ts'
import type { Collection } from '../outline.ts'

const maxPages = 50

/** The nested collection that is deepest, since it is empty at first; else the first. */
async function smallest(context: Context): Promise<{ collection: Collection; place: string }> {
  const collection = context.outline.collections.at(-1)!
  return { collection, place: await context.place(collection) }
}

function idsOf({ json }: Exchange): string[] {
  return Array.isArray(json)
    ? json.flatMap(item => (isJsonObject(item) && typeof item['id'] === 'string' ? [item['id']] : []))
    : []
}

async function checkPages(context: Context, judge: Judge): Promise<void> {
  const { api } = context
  const { collection, place } = await smallest(context)
  const made = []
  for (const id of ['b', 'a', 'a b', 'C', 'é', 'a-1', 'a1'])
    made.push(await context.make(collection, place, { id: `${id}~${context.runId}` }))
  const items: string[] = []
  let target: string | undefined = `${place}?limit=3`
  for (let number = 0; target !== undefined && number < maxPages; number++) {
    const page: Exchange = await api.ask('GET', target)
    if (!judge.status(page, 200)) return
    const ids = idsOf(page)
    judge.expect(ids.length <= 3, `${show(page)} with ${ids.length} items`)
    judge.expect(
      Array.isArray(page.json) && page.json.length === ids.length,
      `${show(page)}: not every item has an id`,
    )
    items.push(...ids)
    target = nextTarget(api, page.headers['link'])
    if (target !== undefined && ids.length === 0 && number > 0) break
  }
  const paths = items.map(id => `${place}/${tryEncodeSegment(id) ?? '?'}`)
  judge.expect(new Set(paths).size === paths.length, 'the pages of a list hold an item twice')
  const sorted = paths.toSorted((a, b) => (a < b ? -1 : 1))
  const wrong = paths.findIndex((path, index) => path !== sorted[index])
  judge.expect(
    wrong === -1,
    () => `${paths[wrong]} stands where ${sorted[wrong]} belongs: lists are in order of canonical paths`,
  )
  if (target === undefined)
    for (const { path } of made) judge.expect(paths.includes(path), `${path} is on no page of the list`)
  const [first] = made
  const behind = await api.ask('GET', `${place}?limit=1000&after=${encodeURIComponent(first!.id)}`)
  if (judge.status(behind, 200))
    judge.expect(
      idsOf(behind).every(id => `${place}/${tryEncodeSegment(id)}` > first!.path),
      `${show(behind)} with items that do not come after it`,
    )
  judge.say(`${items.length} items`)
}

async function checkVersions(context: Context, judge: Judge): Promise<void> {
  const { api } = context
  const { collection, place } = await smallest(context)
  const first = await context.make(collection, place)
  await context.make(collection, place)
  const patch = collection.methods.has('PATCH')
    ? collection.sampler.vary(first.state, context.nextNumber())
    : undefined
  if (patch !== undefined) await context.write('PATCH', first.path, { body: patch })
  const list = await api.ask('GET', `${place}?versions=true&limit=1000`)
  if (!judge.status(list, 200)) return
  const versions = (list.headers['lockstep-versions'] ?? '').split(',').map(Number)
  const ids = idsOf(list)
  if (
    !judge.expect(
      versions.length === ids.length,
      `Lockstep-Versions has ${versions.length} numbers for ${ids.length} items`,
    )
  )
    return
  for (const [index, id] of ids.slice(0, 20).entries()) {
    const path = `${place}/${tryEncodeSegment(id)}`
    const read = await api.ask('GET', path)
    const version = readTag(read.headers['etag'])?.number
    judge.expect(
      version === versions[index],
      `Lockstep-Versions says ${versions[index]} of ${path}, its ETag ${version}`,
    )
    judge.expect(
      isEqualJson((list.json as unknown[])[index] as never, read.json),
      `${path} is another in its list`,
    )
  }
}

async function checkTag(context: Context, judge: Judge): Promise<void> {
  const { api } = context
  const { collection, place } = await smallest(context)
  const made = await context.make(collection, place)
  const list = await api.ask('GET', place)
  if (!judge.status(list, 200)) return
  const tag = list.headers['etag']
  const read = readTag(tag)
  if (!judge.expect(read?.kind === 'seq', `the ETag of ${place} is ${tag} and not "{epoch}.s{seq}" (4.4)`))
    return
  const position = context.copies.get(streamOf(place))
  judge.expect(
    position === undefined || read?.epoch === position.epoch,
    `the ETag ${tag} is of another epoch than ${position?.epoch}`,
  )
  const same = await api.ask('GET', place, { headers: { 'if-none-match': tag! } })
  judge.status(same, 304)
  const patch = collection.methods.has('PATCH')
    ? collection.sampler.vary(made.state, context.nextNumber())
    : undefined
  if (patch === undefined) await context.make(collection, place)
  else await context.write('PATCH', made.path, { body: patch })
  const other = await api.ask('GET', place, { headers: { 'if-none-match': tag! } })
  judge.expect(other.status === 200, `${show(other)} for the ETag of before a change: a copy would stay old`)
}

async function checkParameters(context: Context, judge: Judge): Promise<void> {
  const { collection, place } = await smallest(context)
  const { path } = await context.make(collection, place)
  judge.problem(await context.api.ask('GET', `${place}?_sort=name`), [400, 422])
  judge.problem(await context.api.ask('GET', `${place}?limit=0`), [400, 422])
  judge.problem(await context.api.ask('GET', `${place}?limit=1001`), [400, 422])
  judge.problem(await context.api.ask('GET', `${path}?check=1`), [400, 422])
  const free = await context.api.ask('GET', `${place}?_check=1`)
  judge.expect(free.status === 200, `${show(free)}: a parameter that begins with "_" is let through (4.12)`)
}

export const listingChecks: readonly Check[] = [
  {
    id: 'list.pages',
    rule: '4.8',
    title: 'a list is an array in order of canonical paths, and Link leads through its pages',
    run: checkPages,
  },
  {
    id: 'list.versions',
    rule: '4.8',
    title: 'versions=true gives the versions of the items in their order',
    run: checkVersions,
  },
  {
    id: 'list.etag',
    rule: '4.4',
    title: 'the ETag of a list says where its stream is, and changes with it',
    run: checkTag,
  },
  {
    id: 'list.parameters',
    rule: '4.12',
    title: 'a query parameter that is not known is refused',
    run: checkParameters,
  },
]
