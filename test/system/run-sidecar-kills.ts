/** Kills sidecar, json-server and broker many times under load: `npm run sidecar-kills -- --writes 10000 --kills 10 --seed 7`. */
import { parseArgs } from 'node:util'
import { runSidecarKills } from './sidecar-kills.ts'

const { values } = parseArgs({
  options: {
    writes: { type: 'string', default: '10000' },
    kills: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    scan: { type: 'string', default: '2' },
  },
})
const { answered, unknown, round, kills, shown, convergedMs } = await runSidecarKills({
  writes: Number(values.writes),
  kills: Number(values.kills),
  seed: Number(values.seed),
  scanSeconds: Number(values.scan),
  onProgress(left) {
    if (process.stderr.isTTY) process.stderr.write(`\r${left} writes left `)
  },
})
console.log(
  `${kills} kills: ${answered} writes answered, ${unknown} without an answer or with 5xx, ${round} of them round the sidecar; ` +
    `${shown} states shown, invented 0; converged ${Math.round(convergedMs)} ms after the last write`,
)
process.exit()
