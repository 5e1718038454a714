import assert from 'node:assert/strict'
import test from 'node:test'
import { formatMarker, isLockstepError, parseMarker } from '../../src/contract/index.ts'
import { createPages, createTickets, formatTag } from '../../src/live/index.ts'
import { openHttpServer } from '../../src/service/http/node.ts'
import { openFakeApi } from '../support/fake-api.ts'
import { openScene } from './live-setup.ts'
import { connectSocket } from './page-client.ts'

/** What the browser finds in the tag. */
// biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came
function readTag(tag: string): Record<string, any> {
  const [, json] = /^<script type="application\/json" data-live>([^<]*)<\/script>$/.exec(tag) ?? []
  return JSON.parse(json!)
}

test('a page has its states, the least of their markers, and a tag from which it goes live', async () => {
  await using scene = await openScene()
  await scene.write('ann', 'bob')
  await scene.service.ask('POST', '/projects', { body: { id: 'atlas', title: 'Atlas' } })
  const tickets = createTickets({ keys: [{ id: 'one', secret: 'a'.repeat(32) }] })
  const server = await openHttpServer(scene.service.service, { port: 0 })
  try {
    // In the same process or over HTTP: it is the same.
    for (const api of [scene.service.service, server.url]) {
      const pages = createPages({
        sources: [{ api, streams: ['people', 'projects'] }],
        tickets,
        renew: '/ticket',
      })
      const page = await pages.read(
        {
          ann: '/people/ann',
          nobody: '/people/nobody',
          people: { path: '/people', fields: ['name'] },
          atlas: '/projects/atlas',
        },
        { audience: 'ann' },
      )
      assert.deepEqual(page.states.people, [
        { id: 'ann', name: 'ann' },
        { id: 'bob', name: 'bob' },
      ])
      assert.deepEqual([page.states.nobody, page.states.atlas], [undefined, { id: 'atlas', title: 'Atlas' }])
      const tag = readTag(page.tag)
      assert.equal(tag['marker'], formatMarker(page.marker))
      assert.deepEqual(
        parseMarker(tag['marker']).map(({ stream, seq }) => [stream, seq]),
        [
          ['people', 2],
          ['projects', 1],
        ],
      )
      assert.deepEqual(
        [tag['live'], tag['renew'], page.headers['cache-control']],
        ['/live', '/ticket', 'private, no-cache'],
      )
      // Of a resource that is on the page twice, it has the members of both.
      assert.deepEqual(Object.keys(tag['held']['/people/ann'].state), ['id', 'name', 'age'])
      assert.deepEqual(tag['held']['/people/bob'], { version: 1, state: { id: 'bob', name: 'bob' } })
      const { url } = await scene.open({ access: { tickets } })
      const { ticket, marker, follow } = tag
      await using live = await connectSocket(url, { type: 'hello', protocol: 1, ticket, marker, follow })
      await live.find(frame => frame.type === 'live' && frame['stream'] === 'projects')
      assert.equal(tickets.verify(pages.renew(ticket, 'ann')).audience, 'ann')
      assert.throws(
        () => pages.renew(ticket, 'eve'),
        error => isLockstepError(error, 'invalid-ticket'),
      )
    }
  } finally {
    await server.close()
  }
})

test('a page may leave the states out of its tag, and follows a collection that has several pages', async () => {
  await using scene = await openScene()
  const names = Array.from({ length: 10 }, (_, index) => `p${index}`)
  await scene.write(...names)
  const sources = scene.sources()
  const page = await createPages({ sources }).read({ people: '/people' }, { states: false })
  assert.equal((page.states.people as readonly object[]).length, 10)
  assert.deepEqual(readTag(page.tag)['held']['/people/p0'], { version: 1 })
  await assert.rejects(createPages({ sources, maxItems: 9 }).read({ people: '/people' }), error =>
    isLockstepError(error, 'too-many-changes'),
  )
})

test('parts of different epochs are read again until they fit', async () => {
  let asked = 0
  const reply = (epoch: string, path: string) => ({
    headers: { 'lockstep-marker': `people:${epoch}:5`, etag: `"${epoch}.3"` },
    body: { id: path.split('/').at(-1) },
  })
  await using api = await openFakeApi(({ url }) => reply(asked++ === 0 ? 'old' : 'new', url))
  const pages = createPages({ sources: [{ api: api.url, streams: ['people'] }] })
  const page = await pages.read({ ann: '/people/ann', bob: '/people/bob' })
  assert.deepEqual([formatMarker(page.marker), asked], ['people:new:5', 4])
  api.answer = ({ url }) => reply(url.endsWith('ann') ? 'one' : 'two', url)
  await assert.rejects(pages.read({ ann: '/people/ann', bob: '/people/bob' }), error =>
    isLockstepError(error, 'api-unreachable'),
  )
})

test('an API that does not answer as it should makes no page', async () => {
  await using api = await openFakeApi(() => ({ status: 404 }))
  const pages = createPages({ sources: [{ api: api.url, streams: ['people'] }] })
  const rejects = (code: string) =>
    assert.rejects(pages.read({ ann: '/people/ann' }), error => isLockstepError(error) && error.code === code)
  await rejects('api-refused')
  api.answer = () => ({ status: 503 })
  await rejects('api-unreachable')
  api.answer = () => ({ body: { id: 'ann' }, headers: { 'lockstep-marker': 'people:e:1' } })
  await rejects('api-refused')
  await assert.rejects(pages.read({ all: '/strangers' }), error => isLockstepError(error, 'invalid-option'))
  await assert.rejects(pages.read({ all: 'people' }), error => isLockstepError(error, 'invalid-path'))
})

test('nothing in a state can end the tag', () => {
  const evil = '</script><!--<script>\u2028\u2029&"\''
  const tag = formatTag({
    live: '/live',
    follow: [{ path: '/p' }],
    marker: '',
    held: { '/p/1': { version: 1, state: { id: evil } } },
  })
  assert.equal(tag.match(/</g)!.length, 2)
  assert.doesNotMatch(tag, /[\u2028\u2029]/)
  assert.equal(readTag(tag)['held']['/p/1'].state.id, evil)
})
