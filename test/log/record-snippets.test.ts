/** What docs/log.md shows of recording is what runs here, with each library and with no more rights than it says. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { eq } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { pgTable, text } from 'drizzle-orm/pg-core'
import { Kysely, PostgresDialect } from 'kysely'
import { Pool } from 'pg'
import postgresJs from 'postgres'
import { openPostgresLog, type PostgresLog, type Recorded, record } from '../../src/log/index.ts'
import { type Postgres, skipWithoutPostgres, startPostgres } from '../support/postgres.ts'

type Save = (url: string, id: string, email: string) => Promise<readonly Recorded[]>

async function saveWithPg(url: string, id: string, email: string): Promise<readonly Recorded[]> {
  const pool = new Pool({ connectionString: url })
  const client = await pool.connect()
  try {
    await client.query('BEGIN')
    const update = 'UPDATE person SET email = $2 WHERE id = $1 RETURNING *'
    const { rows } = await client.query(update, [id, email])
    const recorded = await record(client, { path: `/people/${id}`, state: rows[0] })
    await client.query('COMMIT')
    return recorded
  } catch (error) {
    await client.query('ROLLBACK')
    throw error
  } finally {
    client.release()
    await pool.end()
  }
}

async function saveWithPostgres(url: string, id: string, email: string): Promise<readonly Recorded[]> {
  const sql = postgresJs(url)
  const recorded = await sql.begin(async tx => {
    const [state] = await tx`UPDATE person SET email = ${email} WHERE id = ${id} RETURNING *`
    return await record(tx, { path: `/people/${id}`, state: state! })
  })
  await sql.end()
  return recorded
}

async function saveWithDrizzle(url: string, id: string, email: string): Promise<readonly Recorded[]> {
  const person = pgTable('person', { id: text().primaryKey(), name: text(), email: text() })
  const pool = new Pool({ connectionString: url })
  const db = drizzle(pool)
  const recorded = await db.transaction(async tx => {
    const [state] = await tx.update(person).set({ email }).where(eq(person.id, id)).returning()
    return await record(tx, { path: `/people/${id}`, state: state! })
  })
  await pool.end()
  return recorded
}

async function saveWithKysely(url: string, id: string, email: string): Promise<readonly Recorded[]> {
  const pool = new Pool({ connectionString: url })
  const db = new Kysely<{ person: { id: string; name: string; email: string } }>({
    dialect: new PostgresDialect({ pool }),
  })
  const recorded = await db.transaction().execute(async tx => {
    const update = tx.updateTable('person').set({ email }).where('id', '=', id)
    const state = await update.returningAll().executeTakeFirstOrThrow()
    return await record(tx, { path: `/people/${id}`, state })
  })
  await db.destroy()
  return recorded
}

describe('recording as docs/log.md shows it', { skip: skipWithoutPostgres }, () => {
  let postgres: Postgres
  let log: PostgresLog
  before(async () => {
    postgres = await startPostgres()
    log = await openPostgresLog({ url: postgres.url(), pollMs: 5 })
    await log.ensureStreams(['people'])
    await postgres.sql(`CREATE ROLE app LOGIN;
      CREATE TABLE person (id text PRIMARY KEY, name text, email text);
      INSERT INTO person VALUES ('ann', 'Ann', '');
      GRANT SELECT, UPDATE ON person TO app;
      ${readBlocks('sql').join('\n')}`)
  })
  after(async () => {
    await log.close()
    await postgres.stop()
  })

  const libraries: Record<string, Save> = {
    pg: saveWithPg,
    postgres: saveWithPostgres,
    Drizzle: saveWithDrizzle,
    Kysely: saveWithKysely,
  }
  for (const [library, save] of Object.entries(libraries)) {
    test(`${library}: a row and its change, by a user who may do this and no more`, async () => {
      const email = `ann@${library}.example.com`
      const [recorded] = await save(postgres.url('postgres', 'app'), 'ann', email)
      assert.equal(recorded!.path, '/people/ann')
      await log.settle()
      const { resource } = await log.readResource('/people/ann')
      assert.deepEqual(JSON.parse(resource.stateText!), { id: 'ann', name: 'Ann', email })
      assert.equal(resource.version, recorded!.version)
    })
  }
})

test('docs/log.md shows what runs here', () => {
  const source = trimLines(readFileSync(import.meta.filename, 'utf8'))
  const blocks = readBlocks('ts').filter(block => /\brecord\((client|tx),/.test(block))
  assert.equal(blocks.length, 4)
  for (const block of blocks) assert.ok(source.includes(trimLines(block)), block)
})

/** The blocks of code in the section on own tables. */
function readBlocks(language: string): string[] {
  const page = readFileSync(new URL('../../docs/log.md', import.meta.url), 'utf8')
  const section = page.slice(page.indexOf('\n## Your own tables\n'))
  return [...section.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(([, code]) => code!)
}

function trimLines(code: string): string {
  return code.trim().replaceAll(/\n\s*/g, '\n')
}
