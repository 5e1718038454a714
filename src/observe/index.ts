/** Watching over the parts of a process: logs and metrics, as subscribers of the channels of the contract. */
export { type Logger, type LoggingOptions, startLogging } from './logging.ts'
export { startMetrics } from './metrics.ts'
export type { Labels, MetricDescription, Metrics, Sample } from './metrics-port.ts'
export { createPrometheusMetrics, type PrometheusClient, type PrometheusOptions } from './prometheus.ts'
