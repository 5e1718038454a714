/**
 * Tests the simulation: each mutation breaks one mechanism of the real code, and the simulation must notice within
 * 2,000 seeds. `npm run sim:mutations` prints the table; a mutation that lives, or that no longer fits the code, fails.
 */
import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { followerMutations } from './follower-mutations.ts'
import { liveMutations } from './live-mutations.ts'
import { postgresMutations } from './postgres-mutations.ts'

export interface Mutation {
  readonly name: string
  readonly file: string
  readonly find: string
  readonly replace: string
}

const mutations: readonly Mutation[] = [
  ...followerMutations,
  {
    name: 'the version check is left out: old messages are applied again',
    file: 'src/client/copy.ts',
    find: "if (version <= held) return 'old'",
    replace: "if (version < 0) return 'old'",
  },
  {
    name: 'changes are applied to any earlier version',
    file: 'src/client/copy.ts',
    find: "if (changes === undefined || previous === undefined || version !== held + 1) return 'fetch'",
    replace: "if (changes === undefined || previous === undefined) return 'fetch'",
  },
  {
    name: 'deletions are forgotten at once',
    file: 'src/client/copy.ts',
    find: '  copy.tombstones.set(id, tombstone)',
    replace: '',
  },
  {
    name: 'a hole in the numbers is jumped over',
    file: 'src/client/follower-intake.ts',
    find: 'if (seq !== m.position + 1) return false',
    replace: 'if (seq <= m.position) return false',
  },
  {
    name: 'heads are not heard',
    file: 'src/client/follower-intake.ts',
    find: '  if (head.seq > m.claim) m.claim = head.seq\n  planHead(step)',
    replace: '',
  },
  {
    name: 'another epoch in a head is ignored',
    file: 'src/client/follower-intake.ts',
    find: '  if (head.epoch !== m.epoch) {\n    suspect(step, head.epoch)\n    return\n  }',
    replace: '  if (head.epoch !== m.epoch) return',
  },
  {
    name: 'the feed answers after a pruned position, off by one',
    file: 'src/service/http/feed-page.ts',
    find: 'after.seq < first - 1',
    replace: 'after.seq < first - 2',
  },
  {
    name: 'the feed takes any epoch for its own',
    file: 'src/service/http/feed-page.ts',
    find: 'after.epoch !== epoch || ',
    replace: '',
  },
  {
    name: 'a replica is said to be one change further than it is',
    file: 'src/client/replica-rows.ts',
    find: 'this.#move.run(epoch, position, cursor,',
    replace: 'this.#move.run(epoch, position + 1, cursor + 1,',
  },
  {
    name: 'a replica forgets deletions',
    file: 'src/client/replica-rows.ts',
    find: 'if (entry === undefined) this.#delete.run(generation, id)',
    replace: 'if (entry === undefined) continue',
  },
  {
    name: 'the feed of what is nested is taken for its topic',
    file: 'src/client/api.ts',
    find: 'const path = isFeed ? ',
    replace: 'const path = isFeed && stream === undefined ? ',
  },
  {
    name: 'the marker of a response is one too high',
    file: 'src/service/http/context.ts',
    find: 'seq: head.seq }]',
    replace: 'seq: head.seq + 1 }]',
  },
  {
    name: 'a restored backup keeps its epoch',
    file: 'test/sim/service.ts',
    find: 'disk.word !== this.#word',
    replace: 'disk.word < 0',
  },
  {
    name: 'a resource that is created again begins at version 1',
    file: 'src/service/mirror.ts',
    find: 'const version = before.version + 1',
    replace: 'const version = before.stateText === undefined ? 1 : before.version + 1',
  },
  {
    name: 'a patch that cannot say the change is sent all the same',
    file: 'src/contract/merge-patch.ts',
    find: '  if (value === null) return false',
    replace: '',
  },
  {
    name: 'numbers are given out with holes',
    file: 'src/log/batch.ts',
    find: 'const seq = ++this.#stream(stream).head',
    replace: 'const seq = (this.#stream(stream).head += path.length % 7 === 0 ? 2 : 1)',
  },
]

/** With what each seed runs, so that what is broken is in use. */
const hunts: readonly (readonly [mutations: readonly Mutation[], options: readonly string[]])[] = [
  [mutations, []],
  [postgresMutations, ['--postgres']],
  [liveMutations, ['--pages']],
]
const root = new URL('../..', import.meta.url).pathname
const wanted = process.argv[2] ?? ''
const maxSeeds = 2_000

/** Runs the simulation on a mutated copy; gives the seed that noticed. */
async function hunt(
  { file, find, replace }: Mutation,
  options: readonly string[],
): Promise<number | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-mutation-'))
  try {
    for (const part of ['src', 'test/sim', 'package.json'])
      cpSync(join(root, part), join(folder, part), { recursive: true })
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
    const text = readFileSync(join(folder, file), 'utf8')
    if (text.split(find).length !== 2) throw new Error(`${file} does not hold exactly once: ${find}`)
    writeFileSync(
      join(folder, file),
      text.replace(find, () => replace),
    )
    const child = spawn(
      process.execPath,
      ['test/sim/run.ts', '--seeds', String(maxSeeds), '--until-failure', ...options],
      { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] },
    )
    let output = ''
    for await (const chunk of child.stdout) output += chunk
    const seed = /^seed (\d+):/m.exec(output)?.[1]
    return seed === undefined ? undefined : Number(seed)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const queue = hunts.flatMap(([list, options]) =>
  list.filter(({ name }) => name.includes(wanted)).map(mutation => ({ mutation, options })),
)
const count = queue.length
let alive = 0

/** Takes one after the other. */
async function work(): Promise<void> {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const seed = await hunt(next.mutation, next.options)
    if (seed === undefined) alive++
    const found = seed === undefined ? 'ALIVE                ' : `killed by seed ${String(seed).padEnd(6)}`
    console.log(`${found} ${next.mutation.name}`)
  }
}

await Promise.all(Array.from({ length: availableParallelism() }, work))
console.log(`${count - alive} of ${count} mutations killed within ${maxSeeds} seeds`)
process.exit(alive > 0 ? 1 : 0)
