/** What users of the embedded broker may publish and read, as topic filters. */
import { isTopicFilter, LockstepError, matchesTopicFilter, quote } from '../contract/index.ts'

/** Topic filters; what none of them covers is refused. */
export interface TopicRights {
  readonly publish: readonly string[]
  readonly read: readonly string[]
}

/** Rights by user name. Who is not named has none. */
export type UserRights = Readonly<Record<string, TopicRights>>

export const noRights: TopicRights = { publish: [], read: [] }

/** Errors: `invalid-option` for what is no list of topic filters. */
export function checkUserRights(rights: UserRights): void {
  for (const [user, { publish, read }] of Object.entries(rights)) {
    for (const filter of [publish, read].flat()) {
      if (typeof filter === 'string' && isTopicFilter(filter)) continue
      throw new LockstepError(
        'invalid-option',
        `The rights of ${quote(user)} name ${quote(filter)}. Give lists of topic filters, such as "people/#", as publish and read.`,
      )
    }
  }
}

export function mayPublish(rights: TopicRights, topic: string): boolean {
  return rights.publish.some(filter => matchesTopicFilter(filter, topic))
}

/** Every topic that the filter matches must be matched by one and the same filter of the rights. */
export function mayRead(rights: TopicRights, filter: string): boolean {
  return rights.read.some(granted => covers(granted.split('/'), filter.split('/')))
}

/** "#" takes the level above along, as when topics are matched. */
function covers(granted: readonly string[], asked: readonly string[]): boolean {
  for (const [index, level] of granted.entries()) {
    if (level === '#') return true
    const wanted = asked[index]
    if (wanted === undefined || wanted === '#' || (level !== '+' && level !== wanted)) return false
  }
  return asked.length === granted.length
}
