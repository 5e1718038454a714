/**
 * Compares what an exploration found with what a test's table says must be found, and prints the shortest way to what
 * must not be.
 *
 * The environment variable MODEL_BOUNDS=large widens the models; MODEL_FIGURES=1 prints the lines of README.md's table.
 */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { Exploration } from './explore.ts'

export interface Expectation {
  /** The first letters of the invariants that break, as in `C H`; empty where all hold. */
  readonly breaks: string
  /** Situations that must come up, so that the model is known to get there. */
  readonly reaches?: readonly string[]
}

/** Are the models to be explored within the larger bounds? */
export const isLarge = readBounds() === 'large'

/** The bound on states; the search fails past it. */
export const maxStates = isLarge ? 12_000_000 : 1_000_000

/** Holds that exactly the invariants named break, and that what must come up does. */
export function checkExploration(
  t: TestContext,
  { stateCount, broken, reached }: Exploration,
  { breaks, reaches = [] }: Expectation,
): void {
  const expected = breaks.split(' ').filter(letter => letter !== '')
  for (const [invariant, way] of broken) {
    if (expected.includes(invariant[0]!)) continue
    assert.fail(`This must hold and does not: ${invariant}.\nThe shortest way there:\n  ${way.join('\n  ')}`)
  }
  const found = [...broken.keys()].map(invariant => invariant[0]!)
  for (const letter of expected) {
    assert.ok(found.includes(letter), `${letter} must break, and holds in all ${stateCount} states.`)
  }
  for (const situation of reaches) assert.ok(reached.has(situation), `It never happens that ${situation}.`)
  if (process.env['MODEL_FIGURES'] === '1') {
    const states = stateCount.toLocaleString('en')
    t.diagnostic(`| ${t.name} | ${breaks === '' ? 'holds' : `fails: ${breaks}`} | ${states} |`)
  }
}

function readBounds(): 'default' | 'large' {
  const bounds = process.env['MODEL_BOUNDS'] ?? 'default'
  if (bounds === 'default' || bounds === 'large') return bounds
  throw new Error(`MODEL_BOUNDS is ${JSON.stringify(bounds)}. It can be "default" or "large".`)
}
