/**
 * What the answer to a request says of the changes that its transaction recorded, so that the client can follow on:
 * the same headers that a write over REST has. PROTOCOL.md §4.3 and §4.4.
 */
import { formatMarker, formatResourceTag, type Position, streamOf } from '../contract/index.ts'
import type { ChangeLog, LoggedChange } from './change-log.ts'
import type { Recorded } from './recorded-change.ts'

/** How many changes are looked at in one go; the one that is looked for is among the newest. */
const pageRows = 64

/**
 * Makes the headers of an answer, in small letters, AFTER the commit: `lockstep-marker`, the place of the changes, for
 * the `atLeast` of a follower; and `etag` where they are about one resource that is there. Where changes get their numbers after
 * the commit (PostgreSQL), it gives them theirs now. Errors: `log-failed`, `log-closed`; the changes are committed all the same.
 *
 *     response.set(await readRecordedHeaders(log, recorded)).status(201).json(person)
 */
export async function readRecordedHeaders(
  log: ChangeLog,
  recorded: readonly Recorded[],
): Promise<Record<string, string>> {
  const last = recorded.at(-1)
  if (last === undefined) return {}
  await log.settle()
  const groups = Map.groupBy(recorded, ({ path }) => streamOf(path))
  const places = await Promise.all([...groups.values()].map(changes => findPlace(log, changes)))
  const headers = { 'lockstep-marker': formatMarker(places) }
  if (last.deleted || recorded.some(({ path }) => path !== last.path)) return headers
  return { ...headers, etag: formatResourceTag(places[0]!.epoch, last.version) }
}

/** A place in the stream at which its resources are as they were recorded. */
async function findPlace(log: ChangeLog, recorded: readonly Recorded[]): Promise<Position> {
  // The changes of a transaction stand side by side, so nothing has become of their resources at the last of them.
  const changed = recorded.findLast(({ event }) => event !== undefined)
  if (changed !== undefined) return await findChange(log, changed)
  const places: Position[] = []
  for (const unchanged of recorded) {
    const { head, resource } = await log.readResource(unchanged.path)
    places.push(resource.version === unchanged.version ? head : await findChange(log, unchanged))
  }
  return places.reduce((least, place) => (place.seq < least.seq ? place : least))
}

/** The place of the change that made a version; the head where it is no longer held. */
async function findChange(log: ChangeLog, { path, version }: Recorded): Promise<Position> {
  const stream = streamOf(path)
  const head = await log.head(stream)
  const isWanted = (change: LoggedChange): boolean => change.path === path && change.version === version
  for (let end = head.seq; end >= head.first; end -= pageRows) {
    for (let after = Math.max(end - pageRows, head.first - 1); after < end; ) {
      const page = await log.readChanges(stream, { after, limit: end - after, under: path })
      const { epoch } = page.head
      const found = page.changes.find(isWanted)
      if (found !== undefined) return { stream, epoch, seq: found.seq }
      if (epoch !== head.epoch || page.to === after) return page.head
      after = page.to
    }
  }
  return head
}
