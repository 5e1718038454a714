/**
 * Which topic, or filter of topics, a URL means, and the other way round.
 *
 * A topic may hold what a path of Lockstep may not: empty levels, dots, spaces. So all that stands behind the root is one text,
 * percent-encoded once: `/topics/a%20b` is `a b`, `/topics/people/john%2540home` is `people/john%40home`. PROTOCOL.md §16.
 */
import { isTopicFilter, LockstepError, maxTopicBytes, quote } from '../contract/index.ts'

export interface TopicTarget {
  /** A topic, or a filter with wildcards. */
  readonly topic: string
  readonly isFilter: boolean
}

/** Reads what stands behind the root and its slash. Errors: `invalid-topic`. */
export function parseTopicTarget(encoded: string): TopicTarget {
  let topic: string
  try {
    topic = decodeURIComponent(encoded)
  } catch {
    throw new LockstepError('invalid-topic', `${quote(encoded)} is not percent-encoded UTF-8.`)
  }
  if (isTopicFilter(topic)) return { topic, isFilter: /[+#]/.test(topic) }
  throw new LockstepError(
    'invalid-topic',
    `${quote(topic)} is neither a topic nor a filter: at most ${maxTopicBytes} bytes, "+" alone in its level, "#" alone in the last one.`,
  )
}

/** The URL of a topic below the root. A level of one or two dots has none: clients resolve it away. */
export function formatTopicUrl(root: string, topic: string): string {
  return `${root}/${topic.split('/').map(encodeURIComponent).join('/')}`
}
