/** Adds up what many simulations did, for one line. */
import type { SimulationResult } from './simulation.ts'

export interface Totals {
  add(result: SimulationResult): void
  readonly failed: number
  line(): string
}

export function createTotals(): Totals {
  const convergences: number[] = []
  const faults = new Map<string, number>()
  let [seeds, failed, acknowledged, unknown, changes, steps, deliveries, restored] = [0, 0, 0, 0, 0, 0, 0, 0]
  let [pageSteps, refreshes] = [0, 0]
  const kinds = { lost: 0, reused: 0, invented: 0, regressed: 0, leaked: 0 }
  return {
    get failed() {
      return failed
    },
    add(result) {
      seeds++
      if (result.violations.length > 0) failed++
      for (const text of result.violations) {
        for (const kind of Object.keys(kinds) as (keyof typeof kinds)[])
          if (text.includes(kind)) kinds[kind]++
      }
      for (const fault of result.faults) faults.set(fault, (faults.get(fault) ?? 0) + 1)
      acknowledged += result.writes.acknowledged
      unknown += result.writes.unknown
      changes += result.changes
      steps += result.steps
      deliveries += result.deliveries
      restored += result.restored
      pageSteps += result.pageSteps
      refreshes += result.refreshes
      convergences.push(result.convergenceMs)
    },
    line() {
      convergences.sort((a, b) => a - b)
      const at = (share: number): string =>
        ((convergences[Math.floor((convergences.length - 1) * share)] ?? 0) / 1_000).toFixed(1)
      const faultCount = [...faults.values()].reduce((sum, count) => sum + count, 0)
      return (
        `${seeds} seeds, ${failed} failed: lost ${kinds.lost}, reused ${kinds.reused}, invented ${kinds.invented}, regressed ${kinds.regressed}, leaked ${kinds.leaked}; ` +
        `${acknowledged} writes acknowledged, ${unknown} unknown, ${changes} changes, ${deliveries} deliveries, ${steps} steps of followers, ${pageSteps} of pages, ${refreshes} refreshes, ` +
        `${faultCount} faults, ${restored} copies taken up again; right after p50 ${at(0.5)} s, p99 ${at(0.99)} s, at most ${at(1)} s`
      )
    },
  }
}
