/** Watching over the parts of a process: logs and metrics, as subscribers of the channels of the contract. */
export { type Logger, type LoggingOptions, startLogging } from './logging.ts'
export { type Labels, type MetricDescription, type Metrics, type Sample, startMetrics } from './metrics.ts'
export { createPrometheusMetrics, type PrometheusClient, type PrometheusOptions } from './prometheus.ts'
