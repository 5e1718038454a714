/** Holds that after a restore nobody keeps a row that the log does not have, and that each part of the epoch is needed. */
import test from 'node:test'
import { type Exploration, explore } from './explore.ts'
import { create, modify, remove, value } from './history.ts'
import { createRestoreModel } from './restore.ts'
import type { RestoreAblation, RestoreScope } from './restore-world.ts'
import { checkExploration, isLarge, maxStates } from './verdict.ts'

type Script = Pick<RestoreScope, 'before' | 'lost' | 'after'>

const createA = create(0, value({ x: 1 }))
const modifyA = modify(0, value({ y: 1 }))
const more = isLarge ? [modify(0, value({ z: 2 }))] : []

const scripts = {
  'a modification is lost': {
    before: [createA],
    lost: [modify(0, value({ x: 2 }))],
    after: [modifyA, modify(0, value({ z: 1 })), ...more],
  },
  'a creation is lost': { before: [createA], lost: [create(1, value({ x: 2 }))], after: [modifyA, ...more] },
  'two rows are lost': {
    before: [createA],
    lost: [modify(0, value({ y: 2 })), create(1, value({ x: 2 }))],
    after: [modifyA, ...more],
  },
  'a deletion is lost': {
    before: [createA],
    lost: [remove(0)],
    after: [modifyA, create(1, value({ x: 3 }))],
  },
  'nothing is written after': {
    before: [createA],
    lost: [modify(0, value({ x: 2 })), create(1, value({ x: 2 }))],
    after: [],
  },
  'all was lost': {
    before: [],
    lost: [createA],
    after: [create(1, value({ x: 3 })), create(0, value({ x: 2 }))],
  },
} satisfies Record<string, Script>

/** The first letters of the invariants (restore-world.ts) that break without one mechanism, and where that is seen. */
const ablations: readonly {
  name: string
  without: RestoreAblation
  script: keyof typeof scripts
  breaks: string
}[] = [
  {
    name: 'without a reset message it still holds: heads tell the new epoch',
    without: 'no reset',
    script: 'two rows are lost',
    breaks: '',
  },
  {
    name: 'with the same epoch lost rows are kept, and new changes go onto them',
    without: 'epoch stays',
    script: 'a modification is lost',
    breaks: 'C K G',
  },
  {
    name: 'with the same epoch and nothing new the follower stays ahead for ever',
    without: 'epoch stays',
    script: 'nothing is written after',
    breaks: 'C K',
  },
  {
    name: 'with an epoch that is renewed after the first new rows a value is invented',
    without: 'epoch renewed late',
    script: 'a modification is lost',
    breaks: 'G',
  },
  {
    name: 'with messages whose epoch is not looked at lost rows come back',
    without: 'epoch of messages not compared',
    script: 'nothing is written after',
    breaks: 'C K G S',
  },
  {
    name: 'with an epoch that is taken from messages lost rows stay',
    without: 'epoch taken from messages',
    script: 'a creation is lost',
    breaks: 'C K G',
  },
  {
    name: 'with heads whose epoch is not looked at a lost reset is never made good',
    without: 'epoch of heads not compared',
    script: 'nothing is written after',
    breaks: 'C K',
  },
  {
    name: 'with answers whose epoch is not looked at rows of one epoch are shown in another',
    without: 'epoch of answers not compared',
    script: 'a creation is lost',
    breaks: 'G',
  },
  {
    name: 'with versions that outlive the epoch lost rows stay',
    without: 'versions outlive the epoch',
    script: 'two rows are lost',
    breaks: 'C K G',
  },
]

for (const [name, script] of Object.entries(scripts)) {
  test(`the full protocol holds where ${name}`, t => {
    checkExploration(t, exploreRestore(script, { losses: isLarge ? 2 : 1 }), {
      breaks: '',
      reaches: [
        'the follower holds no lost row',
        'the follower is ahead of the backup',
        'a message of the old epoch comes late',
        'an old head is heard after the restore',
        'the feed says that the position is gone',
        'a baseline of another epoch replaces the copy',
        // Who holds a lost deletion shows nothing of it.
        ...(name === 'a deletion is lost' ? [] : ['the follower holds a lost row']),
      ],
    })
  })
}

for (const { name, without, script, breaks } of ablations) {
  test(name, t => checkExploration(t, exploreRestore(scripts[script], { without }), { breaks }))
}

function exploreRestore(script: Script, scope: Partial<RestoreScope>): Exploration {
  return explore(createRestoreModel({ ...script, losses: 1, repeats: 1, ...scope }), { maxStates })
}
