/** Fits prom-client to the port of metrics. The application hands its module in; the library does not import it. */
import { checkMethods, checkOptions } from '../contract/index.ts'
import type { Labels, MetricDescription, Metrics } from './metrics-port.ts'

interface Configuration {
  readonly name: string
  readonly help: string
  readonly labelNames: string[]
  readonly registers?: never[]
}

/** What is used of prom-client, version 15: `import * as client from 'prom-client'` fits. */
export interface PrometheusClient {
  readonly Counter: new (options: Configuration) => { inc(labels: Labels, value: number): void }
  readonly Histogram: new (
    options: Configuration & { readonly buckets?: number[] },
  ) => { observe(labels: Labels, value: number): void }
  readonly Gauge: new (
    options: Configuration & { readonly collect?: () => void },
  ) => { reset(): void; set(labels: Labels, value: number): void }
}

export interface PrometheusOptions {
  /** Where the metrics are kept: registries of prom-client. @default its global one */
  readonly registers?: readonly object[]
}

/**
 * Keeps metrics in prom-client. Its metrics stay registered when counting ends. Errors: `invalid-option`; prom-client's
 * own where a registry has metrics of these names already.
 *
 *     startMetrics(createPrometheusMetrics(client))
 */
export function createPrometheusMetrics(client: PrometheusClient, options: PrometheusOptions = {}): Metrics {
  const advice = "Give the module: import * as client from 'prom-client'."
  checkMethods('The client of createPrometheusMetrics', client, ['Counter', 'Gauge', 'Histogram'], advice)
  checkOptions('createPrometheusMetrics', options, { registers: true })
  const configure = ({ name, help, labels }: MetricDescription): Configuration => ({
    name,
    help,
    labelNames: [...labels],
    ...(options.registers === undefined ? {} : { registers: [...options.registers] as never[] }),
  })
  return {
    counter(description) {
      const counter = new client.Counter(configure(description))
      return (labels, by) => counter.inc(labels, by)
    },
    histogram(description) {
      const buckets = description.buckets === undefined ? {} : { buckets: [...description.buckets] }
      const histogram = new client.Histogram({ ...configure(description), ...buckets })
      return (labels, value) => histogram.observe(labels, value)
    },
    gauge(description, read) {
      const gauge = new client.Gauge({
        ...configure(description),
        collect() {
          gauge.reset()
          for (const { labels, value } of read()) gauge.set(labels, value)
        },
      })
    },
  }
}
