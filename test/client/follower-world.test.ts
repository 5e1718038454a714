/**
 * Random worlds around one follower: `WORLDS=5000 WORLD_SEED=7 npm test -- test/client/follower-world.test.ts`.
 *
 * A counterexample prints its options; `new FollowerWorld(options).run()` replays it step by step.
 */
import test from 'node:test'
import fc from 'fast-check'
import { FollowerWorld, type WorldOptions } from './follower-world.ts'

const numRuns = Number(process.env['WORLDS'] ?? 60)
const seed = Number(process.env['WORLD_SEED'] ?? 1)

const share = (most: number): fc.Arbitrary<number> => fc.double({ min: 0, max: most, noNaN: true })
const sometimes = (most: number): fc.Arbitrary<number> =>
  fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: share(most) })

function worlds(fixed: Partial<WorldOptions>): fc.Arbitrary<WorldOptions> {
  return fc
    .record<WorldOptions>({
      seed: fc.nat(),
      path: fc.constantFrom('/people', '/people/a/friends', '/people/a'),
      isOrdered: fc.boolean(),
      seconds: fc.integer({ min: 5, max: 60 }),
      rate: fc.constantFrom(0.5, 3, 15),
      loss: share(0.5),
      repetition: share(0.3),
      delay: share(0.5),
      outages: share(1),
      failures: share(0.6),
      lag: sometimes(0.4),
      refs: share(0.4),
      epochs: sometimes(1),
      pruning: sometimes(1),
      numberingMs: fc.constantFrom(0, 30, 300, 2_000),
      silences: sometimes(1),
      pageSize: fc.constantFrom(2, 3, 50),
      compactBeyond: fc.constantFrom(3, 8, 20, 1_000),
    })
    .map(options => ({ ...options, ...fixed }))
}

function holds(fixed: Partial<WorldOptions>): void {
  const property = fc.property(worlds(fixed), options => new FollowerWorld(options).run())
  fc.assert(property, { numRuns, seed, endOnFailure: numRuns > 1_000 })
}

for (const [what, path] of [
  ['a collection', '/people'],
  ['a nested collection', '/people/a/friends'],
  ['a resource', '/people/a'],
] as const) {
  test(`${what} followed over a lying broker keeps its promises and converges within 15 s`, () => {
    holds({ path, isOrdered: false })
  })
  test(`${what} followed over breaking event streams keeps its promises and converges within 15 s`, () => {
    holds({ path, isOrdered: true })
  })
}
