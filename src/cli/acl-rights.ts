/**
 * Who may publish and read which topics of a mirror: the service its streams and heads, each reader what it is named for.
 *
 * Rights are topic filters, whatever the broker; acl-text.ts writes them as each broker reads them. PROTOCOL.md §2, §3.
 */
import { headTopic, pathToTopic } from 'lockstep/contract'

/** What one user may do; nothing else. */
export interface UserRights {
  readonly user: string
  readonly publish: readonly string[]
  readonly read: readonly string[]
}

export interface Reader {
  readonly user: string
  /** The streams that it may read; all where it is undefined. */
  readonly streams: readonly string[] | undefined
}

export interface RightsRequest {
  /** As segments of topics. */
  readonly streams: readonly string[]
  readonly topicPrefix: string
  /** The service's user name. */
  readonly service: string
  readonly readers: readonly Reader[]
  /** Who reads what the public hears, on topics of its own; none where nothing is public. */
  readonly publicReaders?: readonly string[]
  /** The streams of which something is public. */
  readonly publicStreams?: readonly string[]
  readonly publicTopicPrefix?: string
}

/** The service first. It hears its own heads too, to notice a database that was put back. */
export function listRights(request: RightsRequest): UserRights[] {
  const { streams, topicPrefix, service, readers } = request
  const { publicReaders = [], publicStreams = [], publicTopicPrefix = 'public/' } = request
  const headOf = (stream: string): string => headTopic(stream, topicPrefix)
  const topicsBelow =
    (prefix: string) =>
    (stream: string): string[] => [`${pathToTopic(`/${stream}`, prefix)}/#`, headTopic(stream, prefix)]
  const topicsOf = topicsBelow(topicPrefix)
  const publicTopics = publicReaders.length === 0 ? [] : publicStreams.flatMap(topicsBelow(publicTopicPrefix))
  return [
    { user: service, publish: [...streams.flatMap(topicsOf), ...publicTopics], read: streams.map(headOf) },
    ...readers.map(reader => ({
      user: reader.user,
      publish: [],
      read: (reader.streams ?? streams).flatMap(topicsOf),
    })),
    ...publicReaders.map(user => ({ user, publish: [], read: publicTopics })),
  ]
}
