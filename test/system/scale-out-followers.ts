/** Followers of the people at each node of a broker, and one by the feed: what they have shown, and how soon they are right again. */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { type Change, type CollectionFollower, type Connection, connect } from 'lockstep/client'
import { type JsonObject, parsePosition } from 'lockstep/contract'
import type { Judge, Shown } from './scale-out-judge.ts'

/**
 * What is waited for takes seconds. Of the broker nothing is promised: on a machine that does much besides, a cluster may lose its
 * leaders again and again.
 */
const limitMs = { equal: 60_000, live: 300_000 }

export interface Followers extends AsyncDisposable {
  /** Resolves when all hold everything up to the marker. */
  reached(marker: string): Promise<void>
  /** Resolves when all are live. */
  live(): Promise<void>
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
  return {
    reached(marker) {
      const { epoch, seq } = parsePosition(marker)
      // Looked at from outside: to wait with atLeast would make them ask.
      return all(
        watched,
        marker,
        limitMs.equal,
        ({ position }) => position?.epoch === epoch && position.seq >= seq,
      )
    },

    live: () => all(watched, 'live', limitMs.live, ({ status }) => status === 'live'),

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

async function all(
  watched: readonly Watched[],
  goal: string,
  waitMs: number,
  isThere: (follower: CollectionFollower<JsonObject>) => boolean,
): Promise<void> {
  for (const endMs = performance.now() + waitMs; ; await delay(10)) {
    const late = watched.filter(({ follower }) => !isThere(follower))
    if (late.length === 0) return
    const told = late.map(({ name, follower }) => `${name} is ${follower.status} at ${follower.marker}`)
    assert.ok(performance.now() < endMs, `${goal} is not reached: the follower by ${told.join(', ')}`)
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
