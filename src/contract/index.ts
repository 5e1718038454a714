/** The contract: what travels between services, brokers, followers and pages. Pure; runs in browsers. */
export * from './error.ts'
export * from './etag.ts'
export * from './json.ts'
export * from './merge-patch.ts'
export * from './message.ts'
export * from './option.ts'
export * from './position.ts'
export * from './topic.ts'
