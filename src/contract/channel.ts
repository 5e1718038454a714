/**
 * Channels: what the parts tell of what they do, to whoever in the process wants to know.
 *
 * They are those of `node:diagnostics_channel`, so that monitoring needs no option and costs nothing where nobody
 * listens; a runtime without it (a browser) has none. Who publishes asks `hasSubscribers` first and makes no message
 * otherwise. Messages hold no state of a resource. docs/observability.md describes each channel.
 */
import type { ErrorCode } from './error.ts'

/** A channel of which the messages are known. */
export interface Channel<Message> {
  /** `lockstep:request`, … */
  readonly name: string
  readonly hasSubscribers: boolean
  /** Calls all subscribers at once. Does not throw. */
  publish(message: Message): void
  /** A subscriber that throws ends the process: it MUST NOT. */
  subscribe(subscriber: (message: Message) => void): void
  unsubscribe(subscriber: (message: Message) => void): void
}

/** Something failed in the background, or a request was answered with 5xx. */
export interface ErrorMessage {
  readonly error: unknown
  /** The work that it happened in, as `onError` is told. */
  readonly stage: string
}

/** A service answered a request. */
export interface RequestMessage {
  readonly method: string
  /** The path with names for its ids: `/people/{id}/friends`, `/people/_changes`; `''` where there is nothing. */
  readonly route: string
  /** The raw path, with ids. */
  readonly path: string
  readonly status: number
  /** Of the error that was answered; `undefined` where there was none. */
  readonly code: ErrorCode | undefined
  /** Until the answer was ready; of an event stream, until it began. */
  readonly durationMs: number
  /** The id of a write, which is the `cause` of its messages. */
  readonly cause: string | undefined
}

/** A change log made writes durable, several at once where they came together. */
export interface CommitMessage {
  /** Units of work, those that were refused too. */
  readonly works: number
  /** Changes that were written; 0 where none of the works changed anything. */
  readonly changes: number
  /** What the durable commit itself took. */
  readonly durationMs: number
}

/** What happened at the relay of a stream. */
export type RelayMessage =
  /** The broker acknowledged a change. */
  | { readonly event: 'published'; readonly stream: string; readonly seq: number }
  /** Every second: changes in the log that the broker has not acknowledged, and whether it is connected. */
  | { readonly event: 'lag'; readonly stream: string; readonly lag: number; readonly connected: boolean }
  /** The broker's connection came up or was lost. */
  | { readonly event: 'connection'; readonly stream: string; readonly connected: boolean }
  /** One reset was published in the place of all changes up to `seq`. */
  | { readonly event: 'reset'; readonly stream: string; readonly seq: number }
  /** The relay has ended. */
  | { readonly event: 'closed'; readonly stream: string }

/** What happened at a follower; `follower` tells the followers of a process apart. */
export type FollowerMessage = {
  readonly follower: number
  readonly stream: string
  readonly path: string
} & (
  | {
      readonly event: 'status'
      readonly status: 'connecting' | 'catching-up' | 'live' | 'stale' | 'closed'
      /** For how long the copy may have been out of date: 0 while live, `Infinity` before there is one. */
      readonly staleForMs: number
    }
  /** It asks the API for a baseline, for one resource, or for a page of the feed. */
  | { readonly event: 'asked'; readonly question: 'baseline' | 'resource' | 'feed' }
  /** The copy changed. */
  | {
      readonly event: 'changed'
      readonly change: 'created' | 'modified' | 'deleted' | 'refreshed'
      readonly cause: string | undefined
    }
)

/** What happened at a bridge; `bridge` tells the bridges of a process apart. */
export type BridgeMessage = { readonly bridge: number } & (
  | {
      /** Every second, and at its end. */
      readonly event: 'counted'
      readonly connections: { readonly websocket: number; readonly events: number }
      /** From its start on; those with members are by code or reason. */
      readonly counts: Readonly<Record<string, number | Readonly<Record<string, number>>>>
      /** Pages that wait for the bridge, by stream. */
      readonly waiting: Readonly<Record<string, number>>
    }
  /** It has all of a stream and knows so, or no longer; looked at every second. */
  | { readonly event: 'stream'; readonly stream: string; readonly isLive: boolean }
  | { readonly event: 'closed' }
)

const diagnostics = globalThis.process?.getBuiltinModule?.('node:diagnostics_channel')

function openChannel<Message>(name: string): Channel<Message> {
  if (diagnostics === undefined)
    return { name, hasSubscribers: false, publish() {}, subscribe() {}, unsubscribe() {} }
  return diagnostics.channel(name) as unknown as Channel<Message>
}

export const errorChannel: Channel<ErrorMessage> = openChannel('lockstep:error')
export const requestChannel: Channel<RequestMessage> = openChannel('lockstep:request')
export const commitChannel: Channel<CommitMessage> = openChannel('lockstep:commit')
export const relayChannel: Channel<RelayMessage> = openChannel('lockstep:relay')
export const followerChannel: Channel<FollowerMessage> = openChannel('lockstep:follower')
export const bridgeChannel: Channel<BridgeMessage> = openChannel('lockstep:bridge')
