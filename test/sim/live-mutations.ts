/** What is broken of the live part, one at a time, so that the simulation with pages must notice: see mutations.ts. */
import type { Mutation } from './mutations.ts'

export const liveMutations: readonly Mutation[] = [
  {
    name: 'the backlog is said to begin one change earlier than it does',
    file: 'src/live/seat.ts',
    find: "if (place.seq >= start) return { kind: 'join' }",
    replace: "if (place.seq >= start - 1) return { kind: 'join' }",
  },
  {
    name: 'a page that is ahead of its bridge is sent for a refresh at once',
    file: 'src/live/seat.ts',
    find: 'const isOver = isAsked && nowMs - place.sinceMs >= limits.holdMs',
    replace: 'const isOver = nowMs >= place.sinceMs',
  },
  {
    name: 'another epoch of a page is ignored',
    file: 'src/live/seat.ts',
    find: 'if (place.epoch !== epoch) {',
    replace: "if (place.epoch === '') {",
  },
  {
    name: 'the marker of a page is the maximum of its parts',
    file: 'src/contract/position.ts',
    find: 'position.seq < other.seq',
    replace: 'position.seq > other.seq',
  },
  {
    name: 'a replay is not checked',
    file: 'src/live/access.ts',
    find: 'return lease(question, await ask(question), Number.POSITIVE_INFINITY)',
    replace: 'return lease(question, now(), Number.POSITIVE_INFINITY)',
  },
  {
    name: 'a lease is not looked at again',
    file: 'src/live/access.ts',
    find: 'const askedMs = await ask(old)',
    replace: 'const askedMs = now()',
  },
  {
    name: 'a ticket that has expired is taken',
    file: 'src/live/ticket.ts',
    find: 'if (exp <= now())',
    replace: 'if (exp <= 0)',
  },
  {
    name: 'conflation drops deletions',
    file: 'src/live/conflation.ts',
    find: '  return [...kept]\n',
    replace: '  return [...kept].filter(({ text }) => !text.includes(\'"event":"deleted"\'))\n',
  },
  {
    name: 'of two changes that cannot be told as one, conflation drops the first',
    file: 'src/live/conflation.ts',
    find: 'if (joined !== undefined) kept.delete(before!)',
    replace: 'if (before !== undefined) kept.delete(before)',
  },
  {
    name: 'a page that is slow comes back after what it was not told',
    file: 'src/live/live-stream.ts',
    find: 'seat.seq = seat.channel.told',
    replace: 'seat.seq = this.backlog.last',
  },
  {
    name: 'members that a page may not see are sent to it',
    file: 'src/live/projection.ts',
    find: 'narrow[name] = kept',
    replace: 'narrow[name] = content',
  },
  {
    name: 'a page does not notice that an interval leaves changes out',
    file: 'src/live/browser/page-session.ts',
    find: 'place.epoch !== epoch || after > place.seq',
    replace: 'place.epoch !== epoch',
  },
  {
    name: 'a page applies what it has already',
    file: 'src/live/browser/page-copy.ts',
    find: 'if (entry && version <= entry.version) return',
    replace: 'if (entry && version < 0) return',
  },
  {
    name: 'a page takes baselines that are older than what it shows',
    file: 'src/live/browser/refresh.ts',
    find: "this.reason !== 'ahead' && isOlder(tag.marker, held)",
    replace: 'held === null',
  },
  {
    name: 'a page refreshes as often as it is told to',
    file: 'src/live/browser/refresh.ts',
    find: 'count: this.#pace.count + 1 }',
    replace: 'count: 0 }',
  },
  {
    name: 'a page goes on with the marker of its HTML',
    file: 'src/live/browser/page-session.ts',
    find: 'this.#places.set(stream, { epoch, seq: to })',
    replace: 'this.#places.set(stream, { epoch, seq: after })',
  },
]
