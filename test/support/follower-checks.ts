/** Waiting for followers in tests of the whole system: for a status, and for being equal to the API. */
import type { CollectionFollower, Follower, FollowerStatus } from 'lockstep/client'
import type { JsonObject } from 'lockstep/contract'

/** The promise: so long after the end of the faults every follower equals the API. */
export const convergenceMs = 15_000

/** Resolves when the condition holds after any change of the follower's copy or status; fails when `signal` aborts. */
export function becomes(
  follower: Follower<JsonObject>,
  condition: () => boolean,
  signal?: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const check = (): void => {
      if (!condition()) return
      for (const stop of stops) stop()
      resolve()
    }
    const stops = [follower.on('change', check), follower.on('status', check)]
    signal?.addEventListener('abort', () =>
      reject(new Error(`${follower.path} is ${follower.status} at ${follower.marker}.`)),
    )
    check()
  })
}

export function hasStatus(
  follower: Follower<JsonObject>,
  status: FollowerStatus,
  signal?: AbortSignal,
): Promise<void> {
  return becomes(follower, () => follower.status === status, signal)
}

/** Reads a whole collection, which must fit on one page, by id. */
export async function readAll(url: string): Promise<Map<string, JsonObject>> {
  const list = (await (await fetch(`${url}?limit=1000`)).json()) as JsonObject[]
  return new Map(list.map(item => [item['id'] as string, item]))
}

/** Resolves when the follower is live and equal to what the API has now; fails 15 s from now. */
export async function converges(follower: CollectionFollower<JsonObject>, url: string): Promise<void> {
  const inTime = AbortSignal.timeout(convergenceMs)
  const wanted = await readAll(url)
  const isEqual = (): boolean =>
    follower.state.size === wanted.size &&
    [...wanted].every(
      ([id, state]) => JSON.stringify(sorted(follower.state.get(id))) === JSON.stringify(sorted(state)),
    )
  await becomes(follower, () => follower.status === 'live' && isEqual(), inTime)
}

function sorted(state: JsonObject | undefined): unknown {
  return state && Object.entries(state).sort(([a], [b]) => (a < b ? -1 : 1))
}
