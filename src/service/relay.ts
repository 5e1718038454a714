/**
 * The relay ★: reads the change log and publishes it, in order and at least once, and tells the heads.
 *
 * It holds no truth: after a crash it goes on from the log, perhaps repeating some messages. A broker that is
 * down delays messages and nothing else. Any number of relays may run on one log, since the numbers come from
 * the log. What is done for one stream is in stream-relay.ts. PROTOCOL.md §3 and §7.
 */
import type { Head } from '../contract/index.ts'
import type { RelayOptions } from './relay-options.ts'
import { type Progress, type RelayParts, StreamRelay } from './stream-relay.ts'

export interface Relay extends AsyncDisposable {
  /** Numbers that are in the log but not yet acknowledged by the broker, per stream. */
  lag(): Promise<Readonly<Record<string, number>>>
  /** How far the stream of a head is published; `undefined` where it is not among those of the relay. */
  progress(head: Head): Promise<Progress> | undefined
  /** Stops and remembers how far it came. Idempotent. */
  close(): Promise<void>
}

/** Starts to publish some streams of a log. */
export function startRelay(
  names: readonly string[],
  parts: RelayParts,
  options: Required<RelayOptions>,
): Relay {
  const closing = new AbortController()
  const streams = names.map(name => new StreamRelay(name, parts, options, closing.signal))
  const stopHearing = parts.broker.onConnection(connected => {
    for (const stream of streams) stream.connectionChanged(connected)
  })
  const running = Promise.all(streams.map(stream => stream.run()))
  let closed: Promise<void> | undefined
  const close = (): Promise<void> => {
    closed ??= (async () => {
      stopHearing()
      closing.abort()
      await running
    })()
    return closed
  }
  return {
    async lag() {
      const entries = streams.map(async stream => [stream.name, await stream.lag()] as const)
      return Object.fromEntries(await Promise.all(entries))
    },
    progress: head => streams.find(({ name }) => name === head.stream)?.progress(head),
    close,
    [Symbol.asyncDispose]: close,
  }
}
