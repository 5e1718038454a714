/** The side that follows: live copies of collections and resources. */
export type { ReportError } from '../contract/index.ts'
export * from '../observe/index.ts'
export type { Change, Created, Deleted, Modified, Refreshed } from './change.ts'
export type { Clock } from './clock.ts'
export { type Connection, type ConnectOptions, connect, type FollowerAt } from './connection.ts'
export type {
  CollectionFollower,
  Follower,
  FollowerEvents,
  FollowOptions,
  ResourceFollower,
  WaitOptions,
} from './follower.ts'
export type { FollowerStatus } from './follower-data.ts'
export type { ReplicaOptions } from './replica.ts'
export type { Conditions } from './replica-index.ts'
