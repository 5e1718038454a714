/** What can be set of a relay, and the limits of it. PROTOCOL.md §3. */
import { checkCount, checkOptions, maxMessageBytes, maxTimerMs } from '../contract/index.ts'

export interface RelayOptions {
  /** Changes of one stream that may be on their way at once. @default 128 */
  readonly windowSize?: number
  /** Larger messages go out without their content, as `ref`. @default 65_536 */
  readonly maxMessageBytes?: number
  /** A longer backlog is replaced by one `reset`. @default 10_000 */
  readonly maxBacklog?: number
  /** How often each stream's head is told. @default 5_000 */
  readonly headEveryMs?: number
  /** How long to wait for an acknowledgement. @default 10_000 */
  readonly publishTimeoutMs?: number
}

/** Fills in the defaults. Errors: `invalid-option` for what is not a whole number from 1 up, or a time that no timer can wait. */
export function readRelayOptions(options: RelayOptions = {}): Required<RelayOptions> {
  checkOptions('relay of openService', options, {
    windowSize: true,
    maxMessageBytes: true,
    maxBacklog: true,
    headEveryMs: true,
    publishTimeoutMs: true,
  })
  const read = (name: keyof RelayOptions, fallback: number, max?: number): number =>
    checkCount(`relay.${name}`, options[name] ?? fallback, { max })
  return {
    windowSize: read('windowSize', 128),
    maxMessageBytes: read('maxMessageBytes', maxMessageBytes),
    maxBacklog: read('maxBacklog', 10_000),
    headEveryMs: read('headEveryMs', 5_000, maxTimerMs),
    publishTimeoutMs: read('publishTimeoutMs', 10_000, maxTimerMs),
  }
}
