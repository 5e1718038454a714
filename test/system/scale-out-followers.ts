/** Followers of the people at each node of a broker, and one by the feed: what they have shown, and how soon they are right again. */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { type Change, type CollectionFollower, type Connection, connect } from 'lockstep/client'
import { type JsonObject, parsePosition } from 'lockstep/contract'
import type { Judge, Shown } from './scale-out-judge.ts'

/** What is waited for takes seconds; on a machine that does much besides, more. */
const limitMs = 60_000

export interface Followers extends AsyncDisposable {
  /** Resolves when all hold everything up to the marker. Errors: that one does not within a minute. */
  reached(marker: string): Promise<void>
  /** Resolves when all are live; with `false` where one is not within a minute. */
  live(): Promise<boolean>
  /** Are all equal to these states, and has the log all that they have shown since the last call? */
  judge(judge: Judge, states: ReadonlyMap<string, JsonObject>): void
}

interface Watched {
  readonly name: string
  readonly follower: CollectionFollower<JsonObject>
  shown: Shown[]
}

/** Follows the API at a URL, by each of the brokers' lists of URLs, and by the feed. */
export async function startFollowers(
  api: string,
  brokers: readonly (readonly string[])[],
): Promise<Followers> {
  const connections: Connection[] = []
  const watched: Watched[] = []
  for (const broker of [...brokers, undefined]) {
    const connection = await connect({ api, ...(broker && { broker }), onError: () => {} })
    connections.push(connection)
    watched.push(watch(connection.follow('/people'), broker?.[0] ?? 'the feed'))
  }
  /** Gives those of which it does not become true in time. */
  async function waitFor(isThere: (follower: CollectionFollower<JsonObject>) => boolean): Promise<string[]> {
    for (const endMs = performance.now() + limitMs; ; await delay(10)) {
      const late = watched.filter(({ follower }) => !isThere(follower))
      if (late.length === 0 || performance.now() > endMs)
        return late.map(({ name, follower }) => `${name}: ${follower.status} at ${follower.marker}`)
    }
  }
  return {
    async reached(marker) {
      const { epoch, seq } = parsePosition(marker)
      // Looked at from outside: to wait with atLeast would make them ask.
      const late = await waitFor(({ position }) => position?.epoch === epoch && position.seq >= seq)
      assert.deepEqual(late, [], `${marker} is not reached`)
    },

    live: async () => (await waitFor(({ status }) => status === 'live')).length === 0,

    judge(judge, states) {
      for (const { name, follower, shown } of watched) {
        const own = new Map([...follower.state].map(([id, state]) => [`/people/${id}`, state]))
        assert.deepEqual(own, states, `the follower by ${name} is not equal to the API`)
        judge.judgeShown(shown)
      }
      for (const each of watched) each.shown = []
    },

    async [Symbol.asyncDispose]() {
      await Promise.all(connections.map(connection => connection.close()))
    },
  }
}

function watch(follower: CollectionFollower<JsonObject>, name: string): Watched {
  const watched: Watched = { name, follower, shown: [] }
  const versions = new Map<string, number>()
  follower.on('change', (change: Change<JsonObject>) => {
    if (change.event === 'refreshed') return
    const { path, version, state } = change
    assert.ok(version > (versions.get(path) ?? 0), `the follower by ${name} went back at ${path}`)
    versions.set(path, version)
    watched.shown.push({ path, version, state })
  })
  return watched
}
