/** The side that owns resources: declare them, serve them over HTTP, write them in-process, publish their changes. */
export * from '../observe/index.ts'
export type { AudienceOptions } from './audience.ts'
export type { AudienceKey } from './audience-token.ts'
export type { About, Audience, DescribeOptions } from './describe/about.ts'
export { describeAsyncApi } from './describe/async-api.ts'
export { describeOpenApi } from './describe/open-api.ts'
export type { PublicOperation, PublicOptions } from './face.ts'
export type { Health, StreamHealth } from './health.ts'
export type { BulkOptions } from './http/bulk-request.ts'
export type { Exchange, HttpHandler, Reply } from './http/exchange.ts'
export { createFetchHandler, type FetchHandler } from './http/fetch.ts'
export {
  createNodeListener,
  type HttpServer,
  type HttpServerOptions,
  type NodeListener,
  type NodeListenerOptions,
  openHttpServer,
} from './http/node.ts'
export type { Reference, ReferenceOptions, RemoteCollection } from './reference.ts'
export type { RelayOptions } from './relay-options.ts'
export {
  type ApiOf,
  type Collection,
  defineResource,
  type Resource,
  type ResourceOptions,
  type StateOf,
} from './resource.ts'
export { openService, type Service, type ServiceOptions, type TransactionOptions } from './service.ts'
export type { NewState, Patch, Place, Transaction } from './transaction.ts'
