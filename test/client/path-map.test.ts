/** What `connect<Api>()` knows at compile time. The assertions are types: where one is wrong, `tsc` fails. */
import assert from 'node:assert/strict'
import test from 'node:test'
import type { FollowerAt } from '../../src/client/connection.ts'
import type { CollectionFollower, ResourceFollower } from '../../src/client/follower.ts'
import type { KindAt, PathIn, StateAt, UnknownApi, UnknownPath } from '../../src/client/path-map.ts'
import type { JsonObject } from '../../src/contract/index.ts'

interface Person {
  readonly id: string
  readonly name: string
}
interface Friend {
  readonly id: string
  readonly since: number
}
interface Like {
  readonly id: string
}
type Api = {
  people: Person
  'people/{person}/friends': Friend
  'people/{person}/friends/{friend}/likes': Like
}

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
function holds<Fact extends true>(fact: Fact = true as Fact): void {
  assert.equal(fact, true)
}

test('an odd number of segments is a collection, an even one a resource', () => {
  holds<Same<KindAt<'/people'>, 'collection'>>()
  holds<Same<KindAt<'/people/johndoe'>, 'resource'>>()
  holds<Same<KindAt<'/people/1/friends'>, 'collection'>>()
  holds<Same<KindAt<'/people/1/friends/2'>, 'resource'>>()
  holds<Same<KindAt<string>, 'resource' | 'collection'>>()
})

test('ids may be known at run time only', () => {
  holds<Same<KindAt<`/people/${string}`>, 'resource'>>()
  holds<Same<KindAt<`/people/${string}/friends`>, 'collection'>>()
  holds<Same<StateAt<Api, `/people/${string}`>, Person>>()
  holds<Same<StateAt<Api, `/people/${string}/friends`>, Friend>>()
  holds<Same<StateAt<Api, `/people/${number}/friends/${string}`>, Friend>>()
})

test('a path has the type of its collection, however deep', () => {
  holds<Same<StateAt<Api, '/people'>, Person>>()
  holds<Same<StateAt<Api, '/people/johndoe'>, Person>>()
  holds<Same<StateAt<Api, '/people/1/friends'>, Friend>>()
  holds<Same<StateAt<Api, '/people/1/friends/2/likes/3'>, Like>>()
  holds<Same<StateAt<Api, string>, Person | Friend | Like>>()
})

test('a path that the API does not have is refused', () => {
  holds<Same<PathIn<Api, '/projects'>, UnknownPath<Api>>>()
  holds<Same<PathIn<Api, '/people/1/enemies'>, UnknownPath<Api>>>()
  holds<Same<PathIn<Api, 'people'>, UnknownPath<Api>>>()
  holds<
    Same<
      UnknownPath<{ people: Person; 'people/{person}/friends': Friend }>,
      | 'no such path; known: /people, each also with /{id}'
      | 'no such path; known: /people/{id}/friends, each also with /{id}'
    >
  >()
  holds<Same<PathIn<Api, '/people'>, '/people'>>()
  holds<Same<PathIn<Api, string>, string>>()
})

test('followers have the type of what they follow', () => {
  holds<Same<FollowerAt<Api, '/people'>, CollectionFollower<Person>>>()
  holds<Same<FollowerAt<Api, '/people/johndoe'>, ResourceFollower<Person>>>()
  holds<Same<FollowerAt<Api, '/people/1/friends'>, CollectionFollower<Friend>>>()
})

test('without a type of the API everything is a JSON object', () => {
  holds<Same<FollowerAt<UnknownApi, '/any'>, CollectionFollower<JsonObject>>>()
  holds<Same<FollowerAt<UnknownApi, '/any/1'>, ResourceFollower<JsonObject>>>()
  holds<Same<FollowerAt<UnknownApi, string>, ResourceFollower<JsonObject> | CollectionFollower<JsonObject>>>()
})

test('a change is narrowed by its event', () => {
  const look = (follower: CollectionFollower<Person>): (() => void) =>
    follower.on('change', change => {
      if (change.event === 'created') holds<Same<typeof change.state, Person>>()
      else if (change.event === 'deleted') holds<Same<typeof change.previous, Person>>()
      else if (change.event === 'refreshed') holds<Same<typeof change.state, undefined>>()
    })
  assert.equal(typeof look, 'function')
})
