/**
 * Kills a service under load many times: `npm run kills -- --runs 200 --seed 7`, with `--log postgres` on PostgreSQL, whose server is
 * killed too. The last line has the totals.
 */
import { parseArgs } from 'node:util'
import { runKills } from './kills.ts'

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    log: { type: 'string', default: 'sqlite' },
  },
})
const { log } = values
if (log !== 'sqlite' && log !== 'postgres') {
  console.error(`--log ${log} is neither sqlite nor postgres.`)
  process.exit(2)
}
const runs = Number(values.runs)
const { kills, serverKills, acknowledged, unknown, changes, repeated } = await runKills({
  kills: runs,
  log,
  seed: Number(values.seed),
  onKill(count) {
    if (process.stderr.isTTY) process.stderr.write(`\r${count} of ${runs} runs `)
  },
})
console.log(
  `${kills} kills of the service${log === 'postgres' ? `, ${serverKills} of the database's server` : ''}: ${acknowledged} writes acknowledged, ${unknown} without an answer, ${changes} changes in the log, ` +
    `${repeated} messages repeated; lost 0, invented 0, numbered twice 0, left out 0`,
)
