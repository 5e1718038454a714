/** Filters, orders, pages and counts of lists: PROTOCOL.md 10.6 to 10.9, on both logs. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { ChangeLog } from '../../src/log/change-log.ts'
import { defineResource } from '../../src/service/resource.ts'
import {
  type Answer,
  assertProblem,
  logKinds,
  openTestLog,
  openTestService,
  type TestService,
} from '../support/service.ts'

const tasks = defineResource('tasks', {
  pageSize: 3,
  schema: {
    type: 'object',
    properties: {
      title: { type: 'string' },
      status: { enum: ['open', 'done'] },
      priority: { type: ['integer', 'null'] },
      done: { type: 'boolean' },
      tags: { type: 'array', items: { type: 'string' } },
      sizes: { type: 'array', items: { type: 'number' } },
      place: { type: 'object', properties: { city: { type: 'string' } } },
      people: { type: 'array', items: { type: 'object', properties: { name: { type: 'string' } } } },
      limit: { type: 'integer' },
    },
  },
})
const notes = defineResource('tasks/{task}/notes', { schema: { type: 'object' } })

const rows = [
  { id: 'a', title: 'Write', status: 'open', priority: 2, tags: ['x'], place: { city: 'Oslo' }, limit: 1 },
  { id: 'b', title: 'read', status: 'open', priority: 10, tags: ['x', 'y'], place: { city: 'Bergen' } },
  { id: 'c', title: 'Sum', status: 'done', priority: null, done: true, tags: [] },
  { id: 'd', title: 'Draw', status: 'open', priority: 2, place: { city: 'Oslo' } },
  { id: 'e', title: 'Rest', status: 'done', sizes: [1, 2.5] },
]

async function openTasks(
  logKind: (typeof logKinds)[number] = 'memory',
  resource = tasks,
  log?: ChangeLog,
): Promise<TestService> {
  const api = await openTestService({
    logKind,
    resources: [resource, notes],
    ...(log === undefined ? {} : { log }),
  })
  for (const row of rows) assert.equal((await api.ask('POST', '/tasks', { body: row })).status, 201)
  return api
}

const idsOf = ({ json }: Answer): string => json.map(({ id }: { id: string }) => id).join('')
const nextOf = ({ headers }: Answer): string | undefined =>
  /<([^>]+)>; rel="next"/.exec(headers.get('link')!)?.[1]

/** Follows the links to the end; gives the ids of each page. */
async function readPages(api: TestService, first: string): Promise<string[]> {
  const pages: string[] = []
  for (let url: string | undefined = first; url !== undefined; ) {
    const answer: Answer = await api.ask('GET', url)
    assert.equal(answer.status, 200, `${url} ${answer.text}`)
    pages.push(idsOf(answer))
    url = nextOf(answer)
  }
  return pages
}

for (const logKind of logKinds) {
  suite(`lists on the ${logKind} log`, () => {
    test('10.6 filters on the items’ own members', async () => {
      await using api = await openTasks(logKind)
      for (const [query, ids] of [
        ['status=open', 'abd'],
        ['status:eq=open', 'abd'],
        ['status:ne=open', 'ce'],
        ['priority=2', 'ad'],
        ['priority=null', 'c'],
        ['priority:gt=2', 'b'],
        ['priority:gte=2&priority:lt=10', 'ad'],
        ['priority:exists=false', 'e'],
        ['done=true', 'c'],
        ['tags:has=y', 'b'],
        ['sizes:has=2.50', 'e'],
        ['place/city=Oslo', 'ad'],
        ['title:starts=R', 'e'],
        ['title:lt=b', 'acde'],
        ['status=open&place/city=Bergen', 'b'],
        ['id=c', 'c'],
        ['id:in=d,a,zz,a', 'ad'],
        ['id:in=d,a&status=done', ''],
        ['id:gt=c', 'de'],
        ['id=..', ''],
        ['limit:eq=1', 'a'],
        ['title=nothing', ''],
      ] as const) {
        const answer = await api.ask('GET', `/tasks?limit=10&${query}`)
        assert.equal(answer.status, 200, `${query} ${answer.text}`)
        assert.equal(idsOf(answer), ids, query)
        assert.equal(nextOf(answer), undefined, query)
      }
    })

    test('10.7 orders, with ties in order of ids', async () => {
      await using api = await openTasks(logKind)
      for (const [query, ids] of [
        ['sort=title', 'decab'],
        ['sort=-title', 'baced'],
        ['sort=priority', 'ecadb'],
        ['sort=-priority', 'badce'],
        ['sort=status,-id', 'ecdba'],
        ['sort=place/city', 'cebad'],
        ['sort=-id&status=open', 'dba'],
        ['sort=-id&id:in=a,c', 'ca'],
      ] as const)
        assert.equal(idsOf(await api.ask('GET', `/tasks?limit=10&${query}`)), ids, query)
    })

    test('10.8 pages of filtered and ordered lists lead on by Link and hold each item once', async () => {
      await using api = await openTasks(logKind)
      for (const [query, pages] of [
        ['limit=2&status=open', ['ab', 'd']],
        ['limit=1&status=done', ['c', 'e']],
        ['limit=2&status=open&place/city:exists=true', ['ab', 'd']],
        ['limit=2&sort=-priority', ['ba', 'dc', 'e']],
        ['limit=1&sort=priority&status=open', ['a', 'd', 'b']],
        ['limit=3&sort=place/city,-title', ['ceb', 'ad']],
        ['limit=2&id:in=e,d,c', ['cd', 'e']],
        ['sort=title', ['dec', 'ab']],
      ] as const)
        assert.deepEqual(await readPages(api, `/tasks?${query}`), pages, query)
    })

    test('10.8 what is written between two pages of an order moves nothing that was not yet read', async () => {
      await using api = await openTasks(logKind)
      const first = await api.ask('GET', '/tasks?limit=2&sort=title&fields=title&versions=true')
      assert.equal(idsOf(first), 'de')
      await api.ask('POST', '/tasks', { body: { id: 'f', title: 'Aaa' } })
      await api.ask('POST', '/tasks', { body: { id: 'g', title: 'S' } })
      await api.ask('DELETE', '/tasks/e')
      const second = await api.ask('GET', nextOf(first)!)
      assert.deepEqual(second.json, [
        { id: 'g', title: 'S' },
        { id: 'c', title: 'Sum' },
      ])
      assert.equal(second.headers.get('lockstep-versions'), '1,1')
      assert.equal(idsOf(await api.ask('GET', nextOf(second)!)), 'ab')
    })

    test('10.9 a count is that of all that match, whatever the page', async () => {
      await using api = await openTasks(logKind)
      for (const [query, count, ids] of [
        ['count=true', '5', 'abc'],
        ['count=true&limit=1&after=b', '5', 'c'],
        ['count=true&status=open&limit=1&after=a', '3', 'b'],
        ['count=true&sort=-id&limit=1', '5', 'e'],
        ['count=true&id:in=a,b,x', '2', 'ab'],
        ['count=true&title=none', '0', ''],
        ['count=false', null, 'abc'],
      ] as const) {
        const answer = await api.ask('GET', `/tasks?${query}`)
        assert.equal(answer.headers.get('lockstep-count'), count, query)
        assert.equal(idsOf(answer), ids, query)
        assert.ok(!nextOf(answer)?.includes('count'), query)
      }
    })

    test('10.8 a filtered page goes on where so many items were looked at; an order or a count is refused', async () => {
      const narrow = defineResource('tasks', { maxScannedItems: 2, schema: { type: 'object' } })
      await using api = await openTasks(logKind, narrow as unknown as typeof tasks)
      assert.deepEqual(await readPages(api, '/tasks?status=done'), ['', 'c', 'e'])
      assert.deepEqual(await readPages(api, '/tasks?id:in=a,b,c,d,e'), ['abcde'])
      for (const query of ['sort=title', 'count=true', 'status=open&sort=-id'])
        assertProblem(await api.ask('GET', `/tasks?${query}`), 422, 'list-too-large')
      assert.equal(idsOf(await api.ask('GET', '/tasks?sort=-id&id:in=a,b,c,d,e')), 'edcba')
    })

    test('10.6 nested lists are filtered too, and not there without their parent', async () => {
      await using api = await openTasks(logKind)
      for (const id of ['1', '2']) await api.ask('PUT', `/tasks/a/notes/${id}`, { body: { n: Number(id) } })
      await api.ask('PUT', '/tasks/b/notes/2', { body: { n: 2 } })
      assert.deepEqual((await api.ask('GET', '/tasks/a/notes?n=2')).json, [{ id: '2', n: 2 }])
      assert.deepEqual((await api.ask('GET', '/tasks/a/notes?sort=-n&count=true')).json.length, 2)
      assertProblem(await api.ask('GET', '/tasks/zz/notes?n=2'), 404, 'not-found')
    })
  })
}

test('10.3 10.6 the tag tells filters, orders and places apart, and a 304 is for the same ones', async () => {
  await using api = await openTasks()
  const queries = [
    '',
    'status=open',
    'status=done',
    'status:ne=open',
    'sort=id',
    'sort=-id',
    'count=true',
    'status=open&sort=id',
  ]
  const tags = await Promise.all(
    queries.map(async query => (await api.ask('GET', `/tasks?${query}`)).headers.get('etag')!),
  )
  assert.equal(new Set(tags).size, queries.length)
  for (const [index, query] of queries.entries()) {
    for (const tag of tags) {
      const { status } = await api.ask('GET', `/tasks?${query}`, { headers: { 'if-none-match': tag } })
      assert.equal(status, tag === tags[index] ? 304 : 200, `${query} ${tag}`)
    }
  }
})

test('10.6 a page that others wrote into while it was put together has a lower bound and no tag', async () => {
  const log = await openTestLog('memory')
  await using api = await openTasks('memory', tasks, log)
  const { seq } = await log.head('tasks')
  const readCollection = log.readCollection.bind(log)
  let calls = 0
  log.readCollection = async (path, options) => {
    const page = await readCollection(path, { ...options, limit: 2 })
    if (calls++ === 0) await api.ask('PATCH', '/tasks/e', { body: { title: 'New' } })
    return page
  }
  const answer = await api.ask('GET', '/tasks?sort=id&limit=10')
  assert.equal(idsOf(answer), 'abcde')
  assert.equal(answer.json[4].title, 'New')
  assert.match(answer.headers.get('lockstep-marker')!, new RegExp(`:${seq}$`))
  assert.equal(answer.headers.get('etag'), null)
  assert.equal((await api.ask('GET', '/tasks?sort=id&limit=10')).headers.get('etag') === null, false)
  await log.close()
})

const operators = ['eq', 'ne', 'lt', 'lte', 'gt', 'gte', 'in']
const manyConditions = ['id', 'title', 'status']
  .flatMap(member => operators.map(operator => `${member}:${operator}=x`))
  .join('&')

test('10.6 what can never hold is refused, and says why', async () => {
  await using api = await openTasks()
  for (const [query, message] of [
    ['nmae=x', /no query parameter "nmae" here, and no member.* Parameters: limit, .* Members: title, .*/],
    ['nmae:eq=x', /no member "nmae" here\. Known: title, status/],
    ['constructor=1', /no query parameter "constructor"/],
    ['__proto__:eq=1', /no member "__proto__"/],
    ['place/town=Oslo', /no member "town" in "place"/],
    ['place=Oslo', /Name a member of it: place\//],
    ['tags=x', /Write tags:has=/],
    ['title:has=x', /"title" is string/],
    ['sizes:has=x', /Its items are number/],
    ['people/name=Ann', /but "people" is array/],
    ['priority=high', /"priority" is number or null\. "high" is none/],
    ['priority:gt=high', /"priority" is number/],
    ['done=1', /"done" is boolean/],
    ['priority:starts=1', /Only a text has a beginning/],
    ['title:like=x', /no known operator/],
    ['status=open&status=done', /"status" is given twice/],
    ['sort=title&sort=id', /"sort" is given twice/],
    ['sort=nmae', /sort names "nmae"/],
    ['sort=place', /has no order: it is object/],
    ['sort=tags', /has no order: it is array/],
    ['sort=title&after=a', /after= is for lists in order of ids/],
    ['cursor=x', /cursor= is for lists with sort=/],
    ['count=yes', /give true or false/],
    [manyConditions, /21 conditions; at most 20/],
  ] as const) {
    const problem = assertProblem(await api.ask('GET', `/tasks?${query}`), 400, 'invalid-query')
    assert.match(String(problem['detail']), message, query)
  }
})

test('10.8 a cursor that was made up, or is of another order, is refused', async () => {
  await using api = await openTasks()
  const next = nextOf(await api.ask('GET', '/tasks?limit=1&sort=title'))!
  const cursor = /cursor=([^&]+)/.exec(next)![1]!
  const encode = (parts: unknown): string => Buffer.from(JSON.stringify(parts)).toString('base64url')
  for (const [sort, text] of [
    ['-title', cursor],
    ['title,id', cursor],
    ['title', ''],
    ['title', 'x'],
    ['title', encode(null)],
    ['title', encode(['title'])],
    ['title', encode(['title', 'Draw'])],
    ['title', encode(['title', 'Draw', 7])],
    ['title', encode(['title', { a: 1 }, '/tasks/d'])],
    ['title', encode(['title', ['a'], '/tasks/d'])],
    ['title', encode(['title', 'Draw', '/tasks/d', 'more'])],
  ])
    assertProblem(await api.ask('GET', `/tasks?sort=${sort}&cursor=${text}`), 400, 'invalid-query')
  assert.equal(idsOf(await api.ask('GET', `/tasks?sort=title&cursor=${cursor}&limit=1`)), 'e')
})

test('10.6 where the schema declares no members any may be filtered by', async () => {
  const open = defineResource('things', { schema: { type: 'object' } })
  await using api = await openTestService({ resources: [open] })
  await api.ask('PUT', '/things/1', { body: { age: 18, zip: '18', 'a:b': 'x' } })
  await api.ask('PUT', '/things/2', { body: { age: '18', zip: 18 } })
  for (const [query, ids] of [
    ['age=18', '12'],
    ['age=18.0', '1'],
    ['age:lt=9', '2'],
    ['a%253Ab=x', '1'],
    ['any=x', ''],
    ['_age=1', '12'],
  ] as const)
    assert.equal(idsOf(await api.ask('GET', `/things?${query}`)), ids, query)
  for (const query of ['lang=fr', 'embed=owner'])
    assertProblem(await api.ask('GET', `/things?${query}`), 400, 'invalid-query')
  assert.equal(idsOf(await api.ask('GET', '/things?lang:eq=fr')), '')
})

test('10.8 a thousand items in any order: every page is full but the last, and each item comes once', async () => {
  await using api = await openTestService({ resources: [tasks] })
  await api.service.transaction(async tx => {
    for (let n = 0; n < 1_200; n++)
      await tx.create(tasks, { id: `t${(n * 7919) % 1_200}`, title: `Task ${n % 10}`, priority: n % 7 })
  })
  const seen: { id: string; title: string; priority: number }[] = []
  for (let url: string | undefined = '/tasks?limit=250&sort=-priority,title'; url !== undefined; ) {
    const answer: Answer = await api.ask('GET', url)
    seen.push(...answer.json)
    url = nextOf(answer)
    assert.equal(answer.json.length, url === undefined ? 200 : 250)
  }
  assert.equal(new Set(seen.map(({ id }) => id)).size, 1_200)
  const keys = seen.map(({ id, title, priority }) => `${9 - priority} ${title} ${id}`)
  assert.deepEqual(keys, [...keys].sort())
})
