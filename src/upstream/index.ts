/** Connections to an HTTP API that others serve: what the gateway and the sidecar send requests through. Published by neither. */
export type { BreakerOptions } from './circuit-breaker.ts'
export { type InstanceAddress, openSocket, type ResponseSink, UpstreamConnection } from './connection.ts'
export type { HealthCheck } from './health-check.ts'
export { Instance, parseInstanceUrl, type UpstreamLimits } from './instance.ts'
export { type ResponseHead, ResponseParser } from './response-parser.ts'
export { Upstream, type UpstreamOptions } from './upstream.ts'
