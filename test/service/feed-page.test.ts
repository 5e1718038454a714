/** The feed as JSON pages: PROTOCOL.md §5, rule by rule, on both logs. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { applyMergePatch, type Json, type JsonObject } from '../../src/contract/index.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { assertProblem, logKinds, openTestService, people, type TestService } from '../support/service.ts'

async function createPeople({ ask }: TestService, ...ids: readonly string[]): Promise<void> {
  for (const id of ids) await ask('PUT', `/people/${id}`, { body: { name: id } })
}
const seqOf = ({ id }: JsonObject): number => Number(String(id).split(':')[2])

for (const logKind of logKinds) {
  suite(`the feed on the ${logKind} log`, () => {
    test('5.4 a page says which interval it covers, and holds every change in it', async () => {
      await using api = await openTestService({ logKind })
      const empty = await api.ask('GET', '/people/_changes')
      const { epoch } = await api.log.head('people')
      assert.deepEqual(empty.json, {
        stream: 'people',
        epoch,
        after: 0,
        to: 0,
        head: 0,
        first: 1,
        changes: [],
      })
      await createPeople(api, 'a', 'b', 'c', 'd')
      await api.ask('PUT', '/projects/x', { body: { title: 'X' } })
      const { json, headers, text } = await api.ask('GET', `/people/_changes?after=${epoch}:1&limit=2`)
      const { changes, ...interval } = json
      assert.deepEqual(interval, { stream: 'people', epoch, after: 1, to: 3, head: 4, first: 1 })
      assert.deepEqual(
        changes.map(({ id, resource }: JsonObject) => [id, resource]),
        [
          [`people:${epoch}:2`, '/people/b'],
          [`people:${epoch}:3`, '/people/c'],
        ],
      )
      assert.equal(text.trimEnd().split('\n').length, 4)
      assert.equal(headers.get('lockstep-marker'), `people:${epoch}:3`)
      assert.equal(headers.get('lockstep-topic'), 'people')
      assert.equal(headers.get('content-type'), 'application/json; charset=utf-8')
    })

    test('5.4 the pages read one after another are the whole stream, numbered without a hole', async () => {
      await using api = await openTestService({ logKind })
      await createPeople(api, 'a', 'b', 'c', 'd', 'e')
      await api.ask('DELETE', '/people/b')
      const seen: number[] = []
      let after = 'earliest'
      for (let more = true; more; ) {
        const { json } = await api.ask('GET', `/people/_changes?after=${after}&limit=2`)
        seen.push(...json.changes.map(seqOf))
        after = `people:${json.epoch}:${json.to}`
        more = json.to < json.head
      }
      assert.deepEqual(seen, [1, 2, 3, 4, 5, 6])
    })

    test('5.4 after is a whole position, epoch:seq, earliest or now; the default is earliest', async () => {
      await using api = await openTestService({ logKind })
      await createPeople(api, 'a', 'b')
      const { epoch } = await api.log.head('people')
      const count = async (after: string): Promise<number> =>
        (await api.ask('GET', `/people/_changes${after}`)).json.changes.length
      assert.equal(await count(`?after=people:${epoch}:1`), 1)
      assert.equal(await count(`?after=${epoch}:1`), 1)
      assert.equal(await count('?after=earliest'), 2)
      assert.equal(await count('?after=now'), 0)
      assert.equal(await count(''), 2)
      assert.equal(await count('?after='), 2)
      for (const after of [
        '1',
        'x',
        `projects:${epoch}:1`,
        `${epoch}:01`,
        `${epoch}:-1`,
        `${epoch}:1e3`,
        `${epoch}:99999999999999999`,
        ':1',
        `${epoch}:1:`,
      ]) {
        const answer = await api.ask('GET', `/people/_changes?after=${after}`)
        assertProblem(answer, 400, 'invalid-position')
      }
      for (const limit of ['0', '10001', 'x'])
        assertProblem(await api.ask('GET', `/people/_changes?limit=${limit}`), 400, 'invalid-query')
    })

    test('5.5 under leaves out the rest; the interval still says what was looked at', async () => {
      await using api = await openTestService({ logKind })
      await createPeople(api, 'ann', 'anna', 'bob')
      await api.ask('POST', '/people/ann/friends', { body: { id: 'bob' } })
      await api.ask('PATCH', '/people/anna', { body: { age: 1 } })
      await api.ask('PATCH', '/people/ann', { body: { age: 1 } })
      const read = async (query: string): Promise<{ to: number; resources: string[] }> => {
        const { json } = await api.ask('GET', `/people/_changes?${query}`)
        return { to: json.to, resources: json.changes.map(({ resource }: JsonObject) => resource) }
      }
      const under = await read('under=/people/ann')
      assert.deepEqual(under, { to: 6, resources: ['/people/ann', '/people/ann/friends/bob', '/people/ann'] })
      assert.deepEqual(await read('under=/people/ann/friends'), {
        to: 6,
        resources: ['/people/ann/friends/bob'],
      })
      assert.equal((await read('under=/people')).resources.length, 6)
      assert.deepEqual(await read('under=/people/ann&limit=3'), { to: 3, resources: ['/people/ann'] })
      assert.deepEqual(await read('under=/people/nobody'), { to: 6, resources: [] })
      assertProblem(await api.ask('GET', '/people/_changes?under=/projects/x'), 400, 'invalid-query')
      for (const path of [
        '/people/ann/enemies',
        '/people/ann/enemies/bob',
        '/people/ann/friends/bob/notes',
      ]) {
        const answer = await api.ask('GET', `/people/_changes?under=${path}`)
        assert.match(String(assertProblem(answer, 404, 'not-found')['detail']), /people\/\{person\}\/friends/)
      }
      for (const path of ['people/ann', '/people/', '', '/people/_x'])
        assertProblem(await api.ask('GET', `/people/_changes?under=${path}`), 400, 'invalid-path')
    })

    test('5.6 compact gives at most one entry per resource: its latest state or its deletion, at its last change', async () => {
      await using api = await openTestService({ logKind })
      await createPeople(api, 'a', 'b', 'c')
      await api.ask('PATCH', '/people/a', { body: { age: 1 } })
      await api.ask('DELETE', '/people/b')
      await api.ask('PATCH', '/people/a', { body: { age: 2 } })
      const { epoch } = await api.log.head('people')
      const { json, headers } = await api.ask('GET', '/people/_changes?compact=true')
      const { changes, ...interval } = json
      assert.deepEqual(interval, { stream: 'people', epoch, after: 0, to: 6, head: 6, first: 1 })
      assert.deepEqual(
        changes.map(({ time: _, ...change }: JsonObject) => change),
        [
          {
            event: 'created',
            state: { id: 'c', name: 'c' },
            resource: '/people/c',
            version: 1,
            id: `people:${epoch}:3`,
          },
          { event: 'deleted', resource: '/people/b', version: 2, id: `people:${epoch}:5` },
          {
            event: 'modified',
            state: { id: 'a', name: 'a', age: 2 },
            resource: '/people/a',
            version: 3,
            id: `people:${epoch}:6`,
          },
        ],
      )
      assert.equal(headers.get('cache-control'), 'no-store')
      const pages = [await api.ask('GET', '/people/_changes?compact&limit=2')]
      pages.push(await api.ask('GET', `/people/_changes?compact&limit=2&after=${epoch}:${pages[0]!.json.to}`))
      assert.deepEqual(
        pages.flatMap(page => page.json.changes.map(seqOf)),
        [3, 5, 6],
      )
      assert.deepEqual(pages.map(page => page.json.to).at(-1), 6)
    })

    test('5.7 a position of which changes are pruned is 410 with the present marker, also in the headers', async () => {
      await using api = await openTestService({ logKind })
      await createPeople(api, 'a', 'b', 'c', 'd', 'e')
      await api.log.prune({ maxRows: 2, minRows: 1 })
      const { epoch, first } = await api.log.head('people')
      assert.equal(first, 4)
      for (const query of [`after=${epoch}:2`, `after=${epoch}:0`, `after=${epoch}:2&compact=true`]) {
        const answer = await api.ask('GET', `/people/_changes?${query}`)
        assert.equal(assertProblem(answer, 410, 'position-gone')['marker'], `people:${epoch}:5`)
        assert.equal(answer.headers.get('lockstep-marker'), `people:${epoch}:5`)
        assert.equal(answer.headers.get('cache-control'), 'no-store')
      }
      assert.equal((await api.ask('GET', `/people/_changes?after=${epoch}:3`)).json.changes.length, 2)
      const { json } = await api.ask('GET', '/people/_changes')
      assert.deepEqual([json.after, json.first, json.changes.length], [3, 4, 2])
    })

    test('5.7 a position of another epoch is 410, whatever its number', async () => {
      await using api = await openTestService({ logKind })
      await createPeople(api, 'a', 'b')
      const { epoch: old } = await api.log.head('people')
      const { epoch } = await api.log.renewEpoch('people')
      for (const position of [`${old}:0`, `${old}:2`, `${old}:99`, 'x:0']) {
        const answer = await api.ask('GET', `/people/_changes?after=${position}`)
        assert.equal(assertProblem(answer, 410, 'position-gone')['marker'], `people:${epoch}:0`)
      }
      assert.deepEqual((await api.ask('GET', '/people/a')).headers.get('etag'), `"${epoch}.1"`)
    })

    test('5.8 a position ahead is waited for', async () => {
      await using api = await openTestService({ logKind })
      const { epoch } = await api.log.head('people')
      for (const query of ['', '&compact=true']) {
        const { seq } = await api.log.head('people')
        const waiting = api.ask('GET', `/people/_changes?after=${epoch}:${seq + 1}${query}`)
        await createPeople(api, `a${seq}`)
        const { status, json } = await waiting
        assert.deepEqual([status, json.after, json.to, json.changes], [200, seq + 1, seq + 1, []])
      }
    })

    test('5.8 a position ahead that does not come is 503 with Retry-After, never something older', async () => {
      await using api = await openTestService({ logKind })
      await createPeople(api, 'a')
      const { epoch } = await api.log.head('people')
      const answer = await api.ask('GET', `/people/_changes?after=${epoch}:3`)
      const problem = assertProblem(answer, 503, 'position-ahead')
      assert.equal(answer.headers.get('retry-after'), '1')
      assert.match(String(problem['detail']), new RegExp(`people:${epoch}:3 is ahead .* at 1`))
      assert.deepEqual(api.errors, [], 'what anyone may ask for is no fault of the service')
    })

    test('5.10 a page between fixed positions may be cached; one that may grow or shrink must not', async () => {
      await using api = await openTestService({ logKind })
      await createPeople(api, 'a', 'b', 'c')
      const { epoch } = await api.log.head('people')
      const cache = async (query: string): Promise<string | null> => {
        const { headers } = await api.ask('GET', `/people/_changes?${query}`)
        assert.equal(headers.get('vary'), 'Accept')
        return headers.get('cache-control')
      }
      assert.equal(await cache(`after=${epoch}:0&limit=2`), 'private, max-age=86400, immutable')
      assert.equal(await cache(`after=people:${epoch}:1&limit=1`), 'private, max-age=86400, immutable')
      for (const query of [
        `after=${epoch}:1&limit=2`,
        `after=${epoch}:0`,
        'limit=1',
        'after=earliest&limit=1',
        'after=now',
        `after=${epoch}:0&limit=1&compact=true`,
      ])
        assert.equal(await cache(query), 'no-store', query)
    })
  })
}

test('earliest gives the earliest also where changes are pruned while it is read', async () => {
  const log = createMemoryLog()
  await using _closing = log
  const head = log.head.bind(log)
  let pruned = false
  await using api = await openTestService({ log })
  await createPeople(api, 'a', 'b', 'c', 'd')
  log.head = async stream => {
    const before = await head(stream)
    if (!pruned) await log.prune({ maxRows: 1, minRows: 1 })
    pruned = true
    return before
  }
  const { status, json } = await api.ask('GET', '/people/_changes')
  assert.deepEqual([status, json.after, json.changes.length], [200, 3, 1])
})

test('folding the feed gives what the API gives, after any writes', async () => {
  await using api = await openTestService()
  for (let round = 0; round < 300; round++) {
    const id = `p${round % 7}`
    const body = {
      name: `N${round % 5}`,
      age: round % 11,
      tags: [`${round % 3}`],
      address: { city: `C${round % 4}` },
    }
    const kind = (round * 7919) % 10
    if (kind < 3) await api.ask('PUT', `/people/${id}`, { body })
    else if (kind < 7)
      await api.ask('PATCH', `/people/${id}`, { body: { age: null, address: { zip: round } } })
    else if (kind < 8) await api.ask('PATCH', `/people/${id}`, { body: { address: null, age: round % 3 } })
    else if (kind < 9) await api.ask('DELETE', `/people/${id}`)
    else await api.ask('POST', '/people', { body: { id, ...body } })
  }
  const states = new Map<unknown, Json>()
  const versions = new Map<unknown, number>()
  for (const { event, resource, state, changes, version } of await api.changes('people')) {
    assert.equal(version, (versions.get(resource) ?? 0) + 1)
    versions.set(resource, version as number)
    if (event === 'deleted') states.delete(resource)
    else states.set(resource, state ?? applyMergePatch(states.get(resource)!, changes!))
  }
  const list = (await api.ask('GET', '/people?limit=100')).json
  assert.ok(list.length > 2)
  assert.deepEqual(
    [...states].toSorted().map(([, state]) => state),
    list,
  )
  assert.equal(await api.service.read(people, 'nobody'), undefined)
})
