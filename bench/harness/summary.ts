/** Sums up repetitions: the median with the range, and percentiles of many samples. */

export interface Summary {
  readonly median: number
  readonly min: number
  readonly max: number
  /** In order of the rounds. */
  readonly values: readonly number[]
}

/** Errors: where there is no value. */
export function summarize(values: readonly number[]): Summary {
  if (values.length === 0) throw new Error('There is nothing to sum up.')
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
  return { median, min: sorted[0]!, max: sorted.at(-1)!, values }
}

/** The sample below which the share lies (0.5 is the median). The samples MUST be sorted; 0 where there are none. */
export function percentile(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}
