/** Holds that a follower converges whatever service, relay and broker do, and that no mechanism can be left out unseen. */
import test from 'node:test'
import { type Exploration, exploreAll } from './explore.ts'
import { createFollowerModel, type FollowerAblation, type FollowerScope } from './follower.ts'
import { allScripts, create, modify, type Operation, remove, value } from './history.ts'
import { checkExploration, isLarge, maxStates } from './verdict.ts'

const recreation = [
  create(0, value({ x: 1 })),
  modify(0, value({ y: 1 })),
  remove(0),
  create(0, value({ z: 1 })),
  ...(isLarge ? [modify(0, value({ x: 2 }))] : []),
]
const twoResources = [
  create(0, value({ x: 1 })),
  create(1, value({ x: 2 })),
  modify(0, value({ y: 1 })),
  modify(1, value({ y: 2 })),
  ...(isLarge ? [remove(0)] : []),
]
const bounds = { losses: isLarge ? 2 : 1, repeats: 1 }

/** The first letters of the invariants (follower.ts) that break without one mechanism. */
const ablations: readonly { name: string; without: FollowerAblation; breaks: string }[] = [
  {
    name: 'with the baseline before the subscription it still holds',
    without: 'get before subscribe',
    breaks: '',
  },
  {
    name: 'with a relay that marks before it publishes it still holds',
    without: 'mark before publish',
    breaks: '',
  },
  {
    name: 'with the state read before the marker a change is missed',
    without: 'state before marker',
    breaks: 'C',
  },
  { name: 'without the gap check a lost message is missed', without: 'no gap check', breaks: 'C' },
  { name: 'without heads the loss of the last message is missed', without: 'no head', breaks: 'C' },
  {
    name: 'without the version check versions go back and values are invented',
    without: 'no version check',
    breaks: 'M G',
  },
  {
    name: 'with versions that begin again after a deletion a value is invented',
    without: 'versions begin again after deletion',
    breaks: 'G',
  },
  {
    name: 'with changes that need no base a value is invented',
    without: 'changes without base',
    breaks: 'G',
  },
]

test('the full protocol holds for every script of operations', t => {
  const exploration = exploreScripts(allScripts(isLarge ? 5 : 4), { losses: 1, repeats: 1 })
  checkExploration(t, exploration, {
    breaks: '',
    reaches: [
      'the relay publishes again',
      'a message at or below the position is dropped',
      'a hole is filled from the feed',
      'an old version is dropped',
      'a resource is fetched',
      'only a head tells the end',
    ],
  })
})

test('the full protocol holds where two messages are lost and two published again', t => {
  checkExploration(t, exploreScripts([recreation, twoResources], { losses: 2, repeats: 2 }), { breaks: '' })
})

for (const { name, without, breaks } of ablations) {
  test(name, t => {
    checkExploration(t, exploreScripts([recreation, twoResources], { ...bounds, without }), { breaks })
  })
}

function exploreScripts(
  scripts: readonly Operation[][],
  scope: Omit<FollowerScope, 'operations'>,
): Exploration {
  return exploreAll(
    scripts.map(operations => createFollowerModel({ ...scope, operations })),
    { maxStates },
  )
}
