/**
 * Runs simulations: `npm run sim -- --seeds 1000`, from another seed on with `--from 5000`, or one of them with its
 * whole story: `npm run sim -- --seed 17`. The last line has the totals. Exit code 1 where a promise was broken.
 */
import { parseArgs } from 'node:util'
import { type SimulationResult, simulate } from './simulation.ts'
import { createTotals } from './totals.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
    'until-failure': { type: 'boolean', default: false },
    pages: { type: 'boolean' },
    postgres: { type: 'boolean' },
  },
})

function readNumber(name: string, text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text)
  console.error(`--${name} ${text} is not a whole number.`)
  process.exit(2)
}

function tellFailure({ seed, violations }: SimulationResult): void {
  console.log(`seed ${seed}:`)
  for (const violation of violations) console.log(`  ${violation}`)
}

/** One simulation with its whole story. */
async function tellStory(seed: number): Promise<boolean> {
  const result = await simulate(seed, { keepTrace: true, hasPages, isPostgres })
  for (const line of result.trace) console.log(line)
  console.log(`digest ${result.digest}, right after ${result.convergenceMs.toFixed(0)} ms`)
  if (result.violations.length > 0) tellFailure(result)
  return result.violations.length === 0
}

async function runMany(from: number, count: number, untilFailure: boolean): Promise<boolean> {
  const totals = createTotals()
  for (let seed = from; seed < from + count; seed++) {
    const result = await simulate(seed, { hasPages, isPostgres })
    totals.add(result)
    if (result.violations.length > 0) tellFailure(result)
    if (totals.failed > 0 && untilFailure) break
    if (process.stderr.isTTY && seed % 20 === 0)
      process.stderr.write(`\r${seed - from + 1} of ${count} seeds `)
  }
  if (process.stderr.isTTY) process.stderr.write('\r')
  console.log(totals.line())
  return totals.failed === 0
}

const { seed, seeds, from, pages: hasPages, postgres: isPostgres, 'until-failure': untilFailure } = values
const isGood =
  seed === undefined
    ? await runMany(readNumber('from', from), readNumber('seeds', seeds), untilFailure)
    : await tellStory(readNumber('seed', seed))
process.exitCode = isGood ? 0 : 1
