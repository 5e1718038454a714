/** Odd ids, other spellings of paths, and what cannot be a path. PROTOCOL.md §2. */
import { formatPath, isEqualJson, isJsonObject } from '../../contract/index.ts'
import { show } from '../answer.ts'
import type { Context } from '../context.ts'
import type { Check, Judge } from '../judge.ts'

/** Each with what it would break where it is taken as it is: a URL, a topic, a filter, a header, a comparison. */
const oddIds = [
  'a b',
  'a/b',
  'a+b',
  'a#b',
  '$SYS',
  '100%',
  'a%2Fb',
  'a,b',
  "it's",
  'ä',
  '日本',
  '😀',
  '.a',
  '~',
  'a:b',
  'constructor',
]
const refusedIds = ['', '.', '..', '_own', 'a\u0000b', 'a\nb', 'x'.repeat(513)]

async function checkOddIds(context: Context, judge: Judge): Promise<void> {
  const collection = context.outline.collections[0]!
  const place = await context.place(collection)
  for (const odd of oddIds) {
    const id = `${odd}-${context.runId}`
    const { path } = formatPath([place.slice(1), id])
    const made = await context.make(collection, place, { id })
    const { exchange } = made
    judge.expect(
      made.state['id'] === id.normalize('NFC'),
      `the id ${JSON.stringify(id)} became ${JSON.stringify(made.state['id'])}`,
    )
    const location = exchange.headers['location'] ?? ''
    if (exchange.method === 'POST')
      judge.expect(
        location.endsWith(path),
        `Location of ${JSON.stringify(id)} is ${location} and not ${path} (2.4)`,
      )
    judge.expect(
      exchange.headers['lockstep-topic'] === context.topicPrefix + path.slice(1),
      `Lockstep-Topic of ${JSON.stringify(id)} is ${exchange.headers['lockstep-topic']} and not ${context.topicPrefix}${path.slice(1)}`,
    )
    const read = await context.api.ask('GET', path)
    judge.expect(isEqualJson(read.json, made.state), `${show(read)} without the resource that was just made`)
  }
  judge.say(`${oddIds.length} ids`)
}

async function checkSpellings(context: Context, judge: Judge): Promise<void> {
  const collection = context.outline.collections[0]!
  const place = await context.place(collection)
  const { path, id, state } = await context.make(collection, place, { id: `Ann~é-${context.runId}` })
  const spelt = {
    'every byte encoded': `${place}/${[...new TextEncoder().encode(id)].map(byte => `%${byte.toString(16).padStart(2, '0')}`).join('')}`,
    'no byte encoded that needs not be': `${place}/${encodeURIComponent(id)}`,
    'decomposed (NFD)': `${place}/${encodeURIComponent(id.normalize('NFD'))}`,
  }
  for (const [how, target] of Object.entries(spelt)) {
    const read = await context.api.ask('GET', target)
    judge.expect(read.status === 200 && isEqualJson(read.json, state), `${show(read)}: ${how}, it is ${path}`)
    judge.expect(
      read.headers['lockstep-topic'] === context.topicPrefix + path.slice(1),
      `Lockstep-Topic of ${target} is ${read.headers['lockstep-topic']}`,
    )
  }
}

async function checkRefusedPaths(context: Context, judge: Judge): Promise<void> {
  const { api } = context
  const collection = context.outline.collections[0]!
  const place = await context.place(collection)
  if (collection.methods.has('POST')) {
    for (const id of refusedIds) {
      const exchange = await context.write('POST', place, { body: { ...collection.sampler.make(0), id } })
      judge.problem(exchange, [400, 422])
    }
  }
  judge.problem(await api.ask('GET', `${place}/%ff`), 400)
  judge.problem(await api.ask('GET', `${place}/_unknown`), 404)
  judge.problem(await api.ask('GET', `/check${context.runId}`), 404)
  const put = await context.write('PUT', `${place}/_own`, { body: collection.sampler.make(0) })
  judge.expect(
    put.status >= 400 && put.status < 500,
    `${show(put)}: ids that begin with "_" are reserved (2.6)`,
  )
}

async function checkNesting(context: Context, judge: Judge): Promise<void> {
  const nested = context.outline.collections.filter(({ parent }) => parent?.methods.has('DELETE'))
  if (nested.length === 0) judge.skip('no collection is nested in one with DELETE')
  for (const collection of nested) {
    const place = await context.place(collection)
    const made = [await context.make(collection, place), await context.make(collection, place)]
    const parent = place.slice(0, place.lastIndexOf('/'))
    const child = `${parent}x${place.slice(parent.length)}`
    const orphan = await context.api.ask('GET', child)
    judge.problem(orphan, [404, 410])
    const stream = place.split('/')[1]!
    const before = (await context.told(stream)).length
    const exchange = await context.write('DELETE', parent)
    if (!judge.status(exchange, 204)) continue
    const after = (await context.told(stream)).slice(before)
    const deleted = after.filter(({ event }) => event === 'deleted').map(({ resource }) => resource)
    for (const { path } of made) {
      judge.expect(deleted.includes(path), `${path} was not deleted with ${parent}`)
      judge.expect(
        deleted.indexOf(path) < deleted.indexOf(parent),
        `${parent} is told as deleted before ${path}, which lies in it`,
      )
      judge.problem(await context.api.ask('GET', path), [404, 410])
    }
    const transactions = new Set(
      after.map(({ tx }) => (isJsonObject(tx) ? JSON.stringify([tx['id'], tx['n']]) : 'none')),
    )
    judge.expect(
      transactions.size === 1 && [...transactions][0]!.endsWith(`,${after.length}]`),
      `the ${after.length} deletions say ${[...transactions].join(', ')} as their transaction: one id, and n ${after.length} (3.4)`,
    )
  }
}

export const pathChecks: readonly Check[] = [
  {
    id: 'path.odd-ids',
    rule: '2.2 2.4',
    title: 'any id works, and is spelt in one way in Location, topic and path',
    run: checkOddIds,
  },
  {
    id: 'path.spellings',
    rule: '2.4',
    title: 'a path may be percent-encoded in any legal way',
    run: checkSpellings,
  },
  {
    id: 'path.refused',
    rule: '2.5 2.6',
    title: 'what cannot be a path or an id is refused',
    run: checkRefusedPaths,
  },
  {
    id: 'path.nesting',
    rule: '3.4 3.10',
    title: 'with a resource goes all that is nested in it: the deepest first, in one transaction',
    run: checkNesting,
  },
]
