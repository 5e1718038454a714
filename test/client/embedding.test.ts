/** Who refers to what, where one resource refers to more than a follower embeds. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { Embedding, maxEmbedded } from '../../src/client/embedding.ts'
import { View } from '../../src/client/view.ts'

test('of ten thousand references as many are wanted as may be, the limit is told once, and what goes makes room', () => {
  const wanted = new Set<string>()
  let told = 0
  const selection = {
    want: (id: string) => wanted.add(id),
    drop: (id: string) => wanted.delete(id),
    find: (id: string) => ({ id }),
    failure: undefined,
  }
  const url = 'http://127.0.0.1/users'
  const embedding = new Embedding({
    shown: new Map(),
    view: new View({}),
    references: [{ name: 'members', path: ['members'], href: '/users', url }],
    collections: new Map([[url, { selection: selection as never, view: new View({}) }]]),
    onOverfull: () => {
      told++
    },
  })
  const occurrence = {
    path: '/projects/atlas',
    id: 'atlas',
    version: 1,
    position: 'projects:k3f9:1',
    cause: undefined,
  }
  const show = (first: number, count: number): void => {
    const members = Array.from({ length: count }, (_, index) => `user${first + index}`)
    embedding.show('atlas', { id: 'atlas', members, first }, occurrence)
  }
  show(0, 10_000)
  assert.deepEqual([wanted.size, told], [maxEmbedded, 1])
  assert.ok(wanted.has('user0') && wanted.has(`user${maxEmbedded - 1}`))
  show(500, 9_500)
  assert.equal(told, 2)
  assert.ok(!wanted.has('user499') && wanted.has('user500'))
  show(0, 0)
  assert.equal(wanted.size, 0)
  assert.deepEqual(embedding.referrers(url), [])
})
