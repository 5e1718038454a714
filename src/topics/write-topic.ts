/**
 * The topics on which devices write: the resource's own, with what is to be done behind it.
 *
 * `people/johndoe/_patch`, `_put` and `_delete`, and `people/_post` for a collection. What stands before them may hold one level `{user}`, which the
 * broker's access rules tie to the user (`pattern write devices/%u/#`). PROTOCOL.md §18.
 */
import { LockstepError, parsePath, quote, topicToPath } from '../contract/index.ts'

export type WriteMethod = 'POST' | 'PUT' | 'PATCH' | 'DELETE'

export interface WriteTarget {
  readonly method: WriteMethod
  /** The canonical path of a collection for POST, else of a resource. */
  readonly path: string
  /** The level that stands for `{user}`; missing where the prefix has none. */
  readonly user?: string
}

const methods: Readonly<Record<string, WriteMethod>> = {
  _post: 'POST',
  _put: 'PUT',
  _patch: 'PATCH',
  _delete: 'DELETE',
}
const userLevel = '{user}'

/** Nothing, or levels each followed by a slash, one of which may be `{user}`. Errors: `invalid-option`. */
export function checkWritePrefix(prefix: string): string {
  const isUsable = /^(([A-Za-z0-9_%-]+|\{user\})\/)*$/.test(prefix) && prefix.split(userLevel).length <= 2
  if (isUsable) return prefix
  throw new LockstepError(
    'invalid-option',
    `The prefix ${quote(prefix)} cannot be used. Give levels of [A-Za-z0-9_-], each followed by a slash, such as "devices/{user}/".`,
  )
}

/** The filters of all writes below the prefix, to resources at most `depth` collections deep. */
export function writeFilters(prefix: string, depth: number): readonly string[] {
  const before = prefix.replace(userLevel, '+')
  return Array.from({ length: depth }, (_, index) => {
    const collection = before + '+/'.repeat(index * 2 + 1)
    return [`${collection}_post`, ...['_put', '_patch', '_delete'].map(last => `${collection}+/${last}`)]
  }).flat()
}

/** Errors: `invalid-topic`, `invalid-path`. */
export function parseWriteTopic(topic: string, prefix: string): WriteTarget {
  const levels = topic.split('/')
  const before = prefix.split('/').slice(0, -1)
  const last = levels.at(-1) ?? ''
  const method = Object.hasOwn(methods, last) ? methods[last] : undefined
  const isBelow = before.every((level, index) => level === userLevel || level === levels[index])
  const path = topicToPath(levels.slice(before.length, -1).join('/'))
  if (method === undefined || !isBelow || path === undefined)
    throw new LockstepError('invalid-topic', `${quote(topic)} is no topic to write on.`)
  const { kind } = parsePath(path)
  if ((method === 'POST') !== (kind === 'collection'))
    throw new LockstepError(
      'invalid-topic',
      `${quote(topic)}: _post is for collections, the others are for resources.`,
    )
  const user = prefix.includes(userLevel) ? levels[before.indexOf(userLevel)] : undefined
  return { method, path, ...(user === undefined ? {} : { user }) }
}
