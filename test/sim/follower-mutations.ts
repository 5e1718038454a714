/**
 * Mutations of followers, their replicas, and what they hear: see mutations.ts.
 *
 * Not here, since in this world they change nothing that a promise forbids; test/client/follower-machine.test.ts has them. An event stream that skips something:
 * a service does not, and a connection loses nothing in its middle. An answer from before the source was up that makes a copy live, and a source that is heard again without a look at what was missed: it is live at a
 * position that is true, and behind by what was published meanwhile, as it is by a message that the broker loses, until the next head. A new baseline of which
 * the file does not know where nothing else is new: nearly always its time is new; test/client/replica.test.ts has that.
 */
import type { Mutation } from './mutations.ts'

export const followerMutations: readonly Mutation[] = [
  {
    name: 'a step that throws is only reported',
    file: 'src/client/follower-driver.ts',
    find: "if (this.#faults.length <= limits.maxFaults) return { type: 'lost' }",
    replace: "if (this.#faults.length <= limits.maxFaults) return { type: 'tick' }",
  },
  {
    name: 'a follower that begins anew keeps the epoch and the position of what it lost',
    file: 'src/client/follower-machine.ts',
    find: 'Object.assign(m, { epoch: undefined, lostEpoch, position: 0, cursor: 0, confirmedAt: undefined })',
    replace: 'Object.assign(m, { lostEpoch })',
  },
  {
    name: 'a refresh is served by a baseline that was asked for before it',
    file: 'src/client/follower-wait.ts',
    find: 'wait.serial <= serial',
    replace: 'wait.serial <= serial + 1',
  },
  {
    name: 'a marker is said to be reached one change too early',
    file: 'src/client/follower-wait.ts',
    find: 'wait.epoch === m.epoch && wait.seq <= m.position',
    replace: 'wait.epoch === m.epoch && wait.seq <= m.position + 1',
  },
  {
    name: 'the place of a baseline of several pages is that of its last page',
    file: 'src/client/follower-answer.ts',
    find: '  incoming.ahead = Math.max(incoming.ahead, page.seq)',
    replace: '  Object.assign(incoming, { seq: Math.max(incoming.seq, page.seq) })',
  },
  {
    name: 'only the last page of a baseline is kept',
    file: 'src/client/follower-answer.ts',
    find: 'const incoming = begun ?? beginContent(m, page, question, isOld)',
    replace: 'const incoming = beginContent(m, page, question, isOld)',
  },
  {
    name: 'the position moves while latest states are taken in',
    file: 'src/client/follower-intake.ts',
    find: 'const isClaimable = !interval.compact && m.cursor === m.position',
    replace: 'const isClaimable = true',
  },
  {
    name: 'the position moves past a change that waits for its resource',
    file: 'src/client/follower-intake.ts',
    find: 'if (queue.isClaimable) advance(step, change.seq - 1)',
    replace: 'if (queue.isClaimable) advance(step, change.seq)',
  },
  {
    name: 'a fetched resource that is older than the message is taken all the same',
    file: 'src/client/follower-answer.ts',
    find: '    ? answer.version < message.version\n',
    replace: '    ? answer.version < 0\n',
  },
  {
    name: 'what a baseline does not have stays in the copy',
    file: 'src/client/copy.ts',
    find: '    if (content.states.has(id)) continue\n',
    replace: '    continue\n',
  },
  {
    name: 'what a baseline does not have stays in a replica',
    file: 'src/client/replica-copy.ts',
    find: '    this.size = this.read(() => this.#rows.count(generation))\n    this.generation = generation',
    replace:
      '    this.size = this.read(() => this.#rows.count(generation))\n    this.generation = Math.min(this.generation, generation)',
  },
  {
    name: 'silence is never noticed',
    file: 'src/client/follower-machine.ts',
    find: 'if (now >= deadlines.silence) fallSilent(step)',
    replace: 'if (now >= deadlines.silence) deadlines.silence = never',
  },
]
