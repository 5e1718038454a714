/** The numbers of changes that other transactions log: every order in which they may run, on a real server. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Client } from 'pg'
import { type LoggedChange, openPostgresLog, type PostgresLog } from '../../src/log/index.ts'
import { formatChangeInsert } from '../../src/log/postgres-change.ts'
import { openPool, type PostgresConnections } from '../../src/log/postgres-pool.ts'
import { readNames } from '../../src/log/postgres-schema.ts'
import { numberPending } from '../../src/log/postgres-sequencer.ts'
import { checkSequence, save } from '../suites/change-log.ts'
import { type Postgres, skipWithoutPostgres, startPostgres } from '../support/postgres.ts'

/** Transactions as the rows that they write, in order. */
type Program = readonly string[]

const programs: Readonly<Record<string, readonly Program[]>> = {
  'two that cross': [['A', 'B'], ['B'], ['A']],
  'a hot row': [['A'], ['A'], ['A']],
  'a late write to a hot row': [['B', 'A'], ['A'], ['B']],
}

describe('PostgreSQL sequencer', { skip: skipWithoutPostgres }, () => {
  let postgres: Postgres
  let log: PostgresLog
  let connections: PostgresConnections
  let sessions: Client[]
  let streams = 0
  const names = readNames('lockstep')

  before(async () => {
    postgres = await startPostgres()
    await postgres.sql('CREATE TABLE item (path text PRIMARY KEY, version bigint NOT NULL)')
    // It is numbered when the test says so, and not by the log itself.
    log = await openPostgresLog({ url: postgres.url(), pollMs: 3_600_000 })
    connections = await openPool(postgres.url(), 3)
    sessions = await Promise.all([0, 1, 2, 3].map(() => connect(postgres)))
  })
  after(async () => {
    for (const session of sessions) await session.end()
    await connections.close()
    await log.close()
    await postgres.stop()
  })

  const newStream = async (): Promise<string> => {
    const stream = `s${streams++}`
    await log.ensureStreams([stream])
    await sessions[3]!.query(`INSERT INTO item VALUES ('/${stream}/A', 0), ('/${stream}/B', 0)`)
    return stream
  }
  const number = async (): Promise<void> => {
    while ((await numberPending(connections, names, { idleTimeoutMs: 5_000 })).more);
  }
  const readAll = async (stream: string): Promise<readonly LoggedChange[]> =>
    (await log.readChanges(stream, { after: 0, limit: 100_000 })).changes

  for (const [name, transactions] of Object.entries(programs)) {
    test(`${name}: nothing is lost, versions come in order, transactions as a whole`, async () => {
      const orders = interleavings(transactions)
      assert.ok(orders.length >= 6)
      // With a look behind each step, behind one of them only, and at the end only.
      const cases = orders.flatMap((order, index) =>
        [-1, order.length, index % 7].map(look => ({ order, look })),
      )
      for (const { order, look } of cases) {
        const stream = await newStream()
        const done = transactions.map(() => 0)
        for (const [step, tx] of order.entries()) {
          const session = sessions[tx]!
          if (done[tx] === 0) await session.query('BEGIN')
          const row = transactions[tx]![done[tx]!++]
          if (row === undefined) await session.query('COMMIT')
          else await change(session, `/${stream}/${row}`, `${tx}`)
          if (look === -1 || look === step) await number()
        }
        await number()
        check(await readAll(stream), transactions.flat().length, order.join(' '))
      }
    })
  }

  test('transactions that really wait for each other, and some that roll back, are numbered in order', async () => {
    const stream = await newStream()
    const paths = [`/${stream}/A`, `/${stream}/B`]
    let committed = 0
    let left = 60
    const writer = async (session: Client, tx: number): Promise<void> => {
      while (left-- > 0) {
        // Always in the same order, or they would wait in a circle.
        const rows = paths.filter((_, index) => (left >> index) % 3 !== 1)
        await session.query('BEGIN')
        for (const path of rows) await change(session, path, `${tx} ${left}`)
        const keeps = left % 5 !== 0
        await session.query(keeps ? 'COMMIT' : 'ROLLBACK')
        if (keeps) committed += rows.length
      }
    }
    const writing = Promise.all(sessions.map(writer))
    let running = true
    const numbering = Promise.all(
      [0, 1].map(async () => {
        while (running) await number()
      }),
    )
    await writing
    running = false
    await numbering
    await number()
    check(await readAll(stream), committed, 'at random')
  })

  test('what is rolled back to a savepoint has no number, and leaves no hole', async () => {
    const stream = await newStream()
    const [session] = sessions
    await session!.query('BEGIN')
    await change(session!, `/${stream}/A`, '0')
    await session!.query('SAVEPOINT here')
    await change(session!, `/${stream}/B`, '0')
    await session!.query('ROLLBACK TO SAVEPOINT here')
    await session!.query('SAVEPOINT there')
    await change(session!, `/${stream}/A`, '0')
    await session!.query('RELEASE SAVEPOINT there')
    await number()
    assert.equal((await log.head(stream)).seq, 0)
    await session!.query('COMMIT')
    await number()
    const changes = await readAll(stream)
    assert.deepEqual(
      changes.map(({ path, version }) => [path, version]),
      [
        [`/${stream}/A`, 1],
        [`/${stream}/A`, 2],
      ],
    )
  })

  test('transactions that stand open, here and in another database, keep nobody waiting', async () => {
    await postgres.sql('CREATE DATABASE other')
    const elsewhere = new Client({ connectionString: postgres.url('other') })
    await elsewhere.connect()
    const stream = await newStream()
    const [idle, session] = sessions
    await elsewhere.query('BEGIN')
    await elsewhere.query('SELECT pg_current_xact_id()')
    await idle!.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
    await change(idle!, `/${stream}/B`, '0')
    await session!.query('BEGIN')
    await change(session!, `/${stream}/A`, '1')
    await session!.query('COMMIT')
    await number()
    const { marker } = await log.write(tx => save(tx, `/${stream}/own`, { n: 1 }))
    assert.deepEqual(
      (await readAll(stream)).map(({ path, seq }) => [path, seq]),
      [
        [`/${stream}/A`, 1],
        [`/${stream}/own`, 2],
      ],
    )
    assert.equal(marker[0]?.seq, 2)
    await idle!.query('COMMIT')
    await elsewhere.query('COMMIT')
    await elsewhere.end()
    await number()
    checkSequence(await readAll(stream))
    assert.equal((await log.head(stream)).seq, 3)
  })

  test('many changes are numbered in steps, and a large transaction stays whole', async () => {
    const stream = await newStream()
    const [session] = sessions
    const insert = `INSERT INTO lockstep.change (stream, event, path, version, time_ms, open_text)
      SELECT '${stream}', 'created', '/${stream}/' || $1 || '-' || n, 1, 0, '{"event":"created"' FROM generate_series(1, $2::int) n`
    for (const [tx, count] of [9_000, 15_000, 1_000].entries()) {
      await session!.query(insert, [`${tx}`, count])
    }
    const steps: number[] = []
    for (let more = true; more; ) {
      const step = await numberPending(connections, names, { idleTimeoutMs: 5_000 })
      more = step.more
      steps.push(step.heads[0]!.seq)
    }
    assert.deepEqual(steps, [24_000, 25_000])
    checkSequence(await readAll(stream))
  })

  test('a change of a stream that was never made known waits, and keeps no other one waiting', async () => {
    const stream = await newStream()
    const [session] = sessions
    await session!.query('BEGIN')
    await change(session!, `/${stream}/A`, '0')
    const { text, value } = formatChangeInsert('lockstep', [
      {
        event: 'deleted',
        path: '/late/1',
        topicPath: '/late/1',
        version: 7,
        stateText: undefined,
        timeMs: 0,
      },
    ])
    await session!.query(text, [value])
    await session!.query('COMMIT')
    await number()
    assert.equal((await log.head(stream)).seq, 1)
    await log.ensureStreams(['late'])
    await number()
    assert.deepEqual(
      (await readAll('late')).map(({ path, version, event }) => [path, version, event]),
      [['/late/1', 7, 'deleted']],
    )
  })

  test('a log hears of changes that another transaction logs, without being told', async () => {
    const stream = await newStream()
    await using watching = await openPostgresLog({ url: postgres.url(), pollMs: 5 })
    const heard = new Promise<number>(resolve => {
      watching.onCommit(heads => {
        for (const head of heads) if (head.stream === stream) resolve(head.seq)
      })
    })
    await change(sessions[0]!, `/${stream}/A`, '0')
    assert.equal(await heard, 1)
  })

  test('a sequence that takes ids ahead is refused', async () => {
    await postgres.sql('ALTER SEQUENCE lockstep.change_id CACHE 10')
    await assert.rejects(openPostgresLog({ url: postgres.url() }), {
      code: 'invalid-option',
      message: /takes "10" numbers at a time.* ALTER SEQUENCE lockstep.change_id CACHE 1/,
    })
    await postgres.sql('ALTER SEQUENCE lockstep.change_id CACHE 1')
    await (await openPostgresLog({ url: postgres.url() })).close()
  })
})

async function connect(postgres: Postgres): Promise<Client> {
  const client = new Client({ connectionString: postgres.url() })
  await client.connect()
  return client
}

/** Writes a row as an application does, then logs the change. `cause` names the transaction. */
async function change(session: Client, path: string, cause: string): Promise<void> {
  const { rows } = await session.query(
    'UPDATE item SET version = version + 1 WHERE path = $1 RETURNING version',
    [path],
  )
  const version = Number(rows[0].version)
  const { text, value } = formatChangeInsert('lockstep', [
    {
      event: version === 1 ? 'created' : 'modified',
      path,
      topicPath: path,
      version,
      stateText: '{}',
      timeMs: 0,
      cause,
    },
  ])
  await session.query(text, [value])
}

function check(changes: readonly LoggedChange[], count: number, order: string): void {
  assert.equal(changes.length, count, order)
  assert.equal(changes[0]?.seq, 1)
  checkSequence(changes)
  const causes = changes.map(({ messageText }) => (JSON.parse(messageText) as { cause: string }).cause)
  const runs = causes.filter((cause, index) => cause !== causes[index - 1])
  assert.equal(new Set(runs).size, runs.length, `${order}: ${causes.join(', ')}`)
}

/** Every order of the steps (the writes and the commit) in which no transaction waits for the row of another. */
function interleavings(transactions: readonly Program[]): number[][] {
  const found: number[][] = []
  const visit = (order: readonly number[], done: readonly number[]): void => {
    if (done.every((count, tx) => count > transactions[tx]!.length)) found.push([...order])
    for (const [tx, program] of transactions.entries()) {
      if (done[tx]! > program.length) continue
      const row = program[done[tx]!]
      const isHeld = transactions.some(
        (other, holder) =>
          holder !== tx && done[holder]! <= other.length && other.slice(0, done[holder]).includes(row ?? ''),
      )
      if (!isHeld) visit([...order, tx], done.with(tx, done[tx]! + 1))
    }
  }
  visit(
    [],
    transactions.map(() => 0),
  )
  return found
}
