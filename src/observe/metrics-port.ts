/** The port to the program that keeps metrics; prometheus.ts fits prom-client to it. */

export type Labels = Readonly<Record<string, string>>

/** What a metric is called and about. */
export interface MetricDescription {
  readonly name: string
  readonly help: string
  readonly labels: readonly string[]
  /** Upper bounds of a histogram's buckets. */
  readonly buckets?: readonly number[]
}

/** A value of a gauge, now. */
export interface Sample {
  readonly labels: Labels
  readonly value: number
}

/** The port to what keeps metrics. Each is asked for once; the functions that it gives MUST NOT throw. */
export interface Metrics {
  /** Gives what adds to a number that only grows. */
  counter(description: MetricDescription): (labels: Labels, by: number) => void
  /** Gives what takes a measured value. */
  histogram(description: MetricDescription): (labels: Labels, value: number) => void
  /** A number that goes up and down: `read` gives all its values whenever they are wanted. */
  gauge(description: MetricDescription, read: () => readonly Sample[]): void
}
