/**
 * The heads of a PostgreSQL log as this instance knows them, and the new epochs behind what the guard has found.
 *
 * It tells each head that moved once, whoever has moved it. PROTOCOL.md §7.5.
 */
import type { Head } from '../contract/index.ts'
import {
  compareIdentity,
  findLoss,
  type Identity,
  isElsewhere,
  type Known,
  type Present,
  readIdentity,
} from './postgres-guard.ts'
import type { RunQuery } from './postgres-pool.ts'
import { dropUpTo } from './postgres-retention.ts'
import { readMeta, writeMeta } from './postgres-schema.ts'
import type { PostgresStore } from './postgres-store.ts'
import { readHeads, renewEpoch } from './postgres-streams.ts'

export interface PostgresEpochsHooks {
  readonly onMoved: (heads: readonly Head[]) => void
  /** All streams have begun a new epoch. */
  readonly onRenewed: (notice: Error) => void
  /** Something is known that an earlier look at the database did not see. */
  readonly onNews: () => void
}

interface Judgement {
  readonly reasons: readonly string[]
  readonly heads: readonly Head[]
  readonly present: Present
  /** Where the database is, to be noted in it. */
  readonly identity: string
}

export class PostgresEpochs {
  readonly #store: PostgresStore
  readonly #schema: string
  readonly #hooks: PostgresEpochsHooks
  readonly #heads = new Map<string, Head>()
  #present: Present | undefined
  #settling: Promise<readonly string[]> | undefined

  constructor(store: PostgresStore, schema: string, hooks: PostgresEpochsHooks) {
    this.#store = store
    this.#schema = schema
    this.#hooks = hooks
  }

  /** Remembers heads without telling of them. */
  note(heads: readonly Head[]): void {
    this.#hooks.onNews()
    for (const head of heads) this.#heads.set(head.stream, head)
  }

  /** Tells of heads that moved. */
  tell(heads: readonly Head[]): void {
    const moved = heads.filter(({ stream, epoch, seq }) => {
      const known = this.#heads.get(stream)
      return known?.epoch !== epoch || known.seq !== seq
    })
    this.note(heads)
    if (moved.length > 0) this.#hooks.onMoved(moved)
  }

  /** A batch was begun. `false` where it must not go on before all is settled. */
  onBegun(present: Present, heads: readonly Head[]): boolean {
    if (this.#isSuspicious(present, heads)) return false
    this.#present = present
    this.tell(heads)
    return true
  }

  /** The database was looked at, and nothing was begun meanwhile. */
  async onSeen(present: Present, heads: readonly Head[]): Promise<void> {
    if (this.#isSuspicious(present, heads)) await this.settle()
    else {
      this.#present = present
      this.tell(heads)
    }
  }

  /** Judges the database, and renews all epochs where that is needed. Gives the reasons. Errors: `log-failed`. */
  settle(): Promise<readonly string[]> {
    this.#settling ??= this.#settle().finally(() => {
      this.#settling = undefined
    })
    return this.#settling
  }

  async #settle(): Promise<readonly string[]> {
    const first = await this.#store.transact(query => this.#judge(query))
    if (first.reasons.length > 0) {
      // In steps, before all epochs are renewed at once: nobody waits long.
      for (const head of first.heads) {
        while ((await this.#store.transact(query => dropUpTo(query, this.#schema, head))).more);
      }
    }
    const last = await this.#store.transact(async query => {
      const judgement = await this.#judge(query)
      // Whoever judges behind this finds nothing any more.
      await writeMeta(query, this.#schema, 'identity', judgement.identity)
      // Another instance may have been faster; else the reasons stay, also where time has covered them up.
      const isRenewed = first.heads.some(({ stream, epoch }) =>
        judgement.heads.some(head => head.stream === stream && head.epoch !== epoch),
      )
      const reasons = isRenewed ? judgement.reasons : first.reasons
      if (reasons.length === 0) return judgement
      const heads: Head[] = []
      for (const { stream } of judgement.heads) heads.push(await renewEpoch(query, this.#schema, stream))
      return { ...judgement, reasons, heads }
    })
    this.#present = last.present
    if (last.reasons.length > 0) {
      this.#hooks.onRenewed(
        new Error(
          `All streams of the log in the schema ${this.#schema} begin a new epoch: ${last.reasons.join('; ')}. Followers start afresh by themselves.`,
        ),
      )
    }
    this.tell(last.heads)
    return last.reasons
  }

  async #judge(query: RunQuery): Promise<Judgement> {
    // What is learned while the database is asked must not make its answer look old.
    const known = this.#known()
    const heads = await readHeads(query, this.#schema)
    const { identity, present } = await readIdentity(query, this.#schema)
    const noted = await readMeta(query, this.#schema, 'identity')
    const reasons = noted === undefined ? [] : compareIdentity(JSON.parse(noted) as Identity, identity)
    if (known !== undefined) reasons.push(...findLoss(known, present, heads))
    // What this user may not ask is left as another one has noted it.
    const kept = noted === undefined || reasons.length > 0 ? {} : (JSON.parse(noted) as Identity)
    return { reasons, heads, present, identity: JSON.stringify({ ...kept, ...identity }) }
  }

  #isSuspicious(present: Present, heads: readonly Head[]): boolean {
    const known = this.#known()
    if (known === undefined) return false
    return isElsewhere(known.present, present) || findLoss(known, present, heads).length > 0
  }

  #known(): Known | undefined {
    return this.#present && { present: this.#present, heads: new Map(this.#heads) }
  }
}
