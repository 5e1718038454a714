/**
 * What the answer to a request says of the changes that its transaction recorded, so that the client can follow on:
 * the same headers that a write over REST has. PROTOCOL.md §4.3 and §4.4.
 */
import { formatMarker, formatResourceTag, streamOf } from '../contract/index.ts'
import type { ChangeLog } from './change-log.ts'
import type { Recorded } from './recorded-change.ts'

/**
 * Makes the headers of an answer, in small letters, AFTER the commit: `lockstep-marker`, at or behind the changes, for the `atLeast` of a
 * follower; and `etag` where they are about one resource that is there. Where changes get their numbers after the commit
 * (PostgreSQL), it gives them theirs now. Errors: `log-failed`, `log-closed`; the changes are committed all the same.
 *
 *     response.set(await readRecordedHeaders(log, recorded)).status(201).json(person)
 */
export async function readRecordedHeaders(
  log: ChangeLog,
  recorded: readonly Recorded[],
): Promise<Record<string, string>> {
  if (recorded.length === 0) return {}
  await log.settle()
  const streams = [...new Set(recorded.map(({ path }) => streamOf(path)))].sort()
  const heads = await Promise.all(streams.map(stream => log.head(stream)))
  const marker = formatMarker(heads.map(({ stream, epoch, seq }) => ({ stream, epoch, seq })))
  const { path, version, deleted } = recorded.at(-1)!
  if (deleted || recorded.some(other => other.path !== path)) return { 'lockstep-marker': marker }
  return { 'lockstep-marker': marker, etag: formatResourceTag(heads[0]!.epoch, version) }
}
