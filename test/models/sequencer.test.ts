/** Holds which ways of numbering a change log are right, and in what each of the others is wrong. */
import test from 'node:test'
import { type Exploration, exploreAll } from './explore.ts'
import {
  createSequencerModel,
  orderByCursor,
  orderById,
  orderByTransaction,
  orderByXid,
  type SequencerScope,
} from './sequencer.ts'
import { checkExploration, isLarge, maxStates } from './verdict.ts'

/** Per program the resources that each transaction writes. */
const programs = {
  crossing: [['A', 'B'], ['B'], ['A']],
  'hot row': [['A'], ['A'], ['A']],
  'late write on a hot row': [['B', 'A'], ['A'], ['B']],
  deadlock: [
    ['A', 'B'],
    ['B', 'A'],
  ],
  ...(isLarge ? { 'three that cross': [['A', 'B'], ['B', 'A'], ['A'], ['B']] } : {}),
}

const cursor = orderByCursor
const byMinimum = orderByTransaction(Math.min)
const byMaximum = orderByTransaction(Math.max)

/** The first letters of the invariants (sequencer.ts) that break with the log row after the lock, and before it. */
const orderings: readonly {
  name: string
  scope: Omit<SequencerScope, 'programs'>
  after: string
  before: string
}[] = [
  { name: 'a cursor on the id', scope: { ordering: cursor }, after: 'L R T', before: 'L R T' },
  { name: 'the xid below the horizon', scope: { ordering: orderByXid }, after: 'R', before: 'R' },
  { name: 'a sequencer by id', scope: { ordering: orderById }, after: 'T', before: 'R T' },
  {
    name: 'a sequencer by the smallest id of a transaction',
    scope: { ordering: byMinimum },
    after: 'R',
    before: 'R',
  },
  {
    name: 'a sequencer by the greatest id of a transaction',
    scope: { ordering: byMaximum },
    after: '',
    before: 'R',
  },
]

/** Numbers that the transaction itself gives. */
const inTransaction: readonly {
  name: string
  scope: Omit<SequencerScope, 'ordering' | 'programs'>
  breaks: string
}[] = [
  {
    name: 'one writer at a time numbers in the transaction: all holds (SQLite)',
    scope: { numbers: 'greatest seen', sharedLock: 'transaction' },
    breaks: '',
  },
  {
    name: 'a counter that is locked by the log row numbers in the transaction: all holds',
    scope: { numbers: 'greatest seen', sharedLock: 'log row' },
    breaks: '',
  },
  {
    name: 'one writer at a time, but numbers from a sequence: a rollback leaves a hole',
    scope: { numbers: 'from a sequence', sharedLock: 'transaction' },
    breaks: 'N',
  },
  {
    name: 'many writers that each take the greatest number they see: numbers come twice, rows are lost',
    scope: { numbers: 'greatest seen', sharedLock: 'none' },
    breaks: 'L R N',
  },
]

for (const { name, scope, after, before } of orderings) {
  for (const [logRow, breaks] of [['after', after] as const, ['before', before] as const]) {
    const result = breaks === '' ? 'holds' : `breaks ${breaks}`
    test(`${name}, log row ${logRow} the lock: ${result}`, t => {
      checkExploration(t, explorePrograms({ ...scope, logRow }), {
        breaks,
        reaches: ['a transaction waits for a lock', 'a deadlock'],
      })
    })
  }
}

for (const { name, scope, breaks } of inTransaction) {
  test(name, t => {
    checkExploration(t, explorePrograms({ ...scope, ordering: cursor }), { breaks })
  })
}

function explorePrograms(scope: Omit<SequencerScope, 'programs'>): Exploration {
  const rollbacks = isLarge ? 2 : 1
  const models = Object.values(programs).map(one =>
    createSequencerModel({ ...scope, programs: one, rollbacks }),
  )
  return exploreAll(models, { maxStates })
}
