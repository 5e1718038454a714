/**
 * Mutations of how PostgreSQL numbers what others committed: see mutations.ts. What the statements do is said in JavaScript here, so their order is
 * broken there; that the SQL has the right one is shown on a real server by test/log/postgres-sequencer.test.ts.
 */
import type { Mutation } from './mutations.ts'

export const postgresMutations: readonly Mutation[] = [
  {
    name: 'transactions of an application are numbered in the order in which they began',
    file: 'test/sim/postgres-statement.ts',
    find: 'last.get(a.xid)! - last.get(b.xid)! || a.id - b.id',
    replace: 'a.xid - b.xid || a.id - b.id',
  },
  {
    name: 'transactions of an application are numbered by their least id',
    file: 'test/sim/postgres-statement.ts',
    find: 'Math.max(last.get(xid) ?? 0, id)',
    replace: 'Math.min(last.get(xid) ?? id, id)',
  },
  {
    name: 'who gives numbers holds no lock',
    file: 'src/log/postgres-session.ts',
    find: 'SELECT pg_advisory_xact_lock(',
    replace: 'SELECT set_config(',
  },
]
