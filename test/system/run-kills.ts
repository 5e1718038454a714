/** Kills a service under load many times: `npm run kills -- --runs 200 --seed 7`. The last line has the totals. */
import { parseArgs } from 'node:util'
import { runKills } from './kills.ts'

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '200' }, seed: { type: 'string', default: '1' } },
})
const kills = Number(values.runs)
const { acknowledged, unknown, changes, repeated } = await runKills({
  kills,
  seed: Number(values.seed),
  onKill(count) {
    if (process.stderr.isTTY) process.stderr.write(`\r${count} of ${kills} kills `)
  },
})
console.log(
  `${kills} kills: ${acknowledged} writes acknowledged, ${unknown} without an answer, ${changes} changes in the log, ` +
    `${repeated} messages repeated; lost 0, invented 0, numbered twice 0, left out 0`,
)
