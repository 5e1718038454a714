/** The port to a source: where a follower hears of changes, as hints (a broker) or in order (an event stream). */
import type { Head, ParsedPath } from '../contract/index.ts'
import type { Interval, NumberedMessage } from './follower-data.ts'

/** Hears a source. No call follows the source's `close`. */
export interface SourceListener {
  /** Whatever is published from now on is on its way. Again after a loss, and when more is heard. */
  onUp(): void
  /** The source is lost. One that proves intervals is over with it; a hinting one comes up again by itself. */
  onDown(): void
  onMessage(message: NumberedMessage): void
  onHead(head: Head, retained: boolean): void
  onInterval(interval: Interval): void
  /** It cannot go on from the position. */
  onGone(): void
  onError(error: unknown): void
}

export interface SourceRequest {
  readonly target: ParsedPath
  /** Where an ordered source begins. */
  readonly after: { readonly epoch: string; readonly seq: number } | undefined
  /** Hear the topic on which the followed resource would be created. */
  readonly hearsCreations: boolean
}

export interface Source {
  /** Hears creations, or no more; `onUp` follows when they are heard. */
  hearCreations(wanted: boolean): void
  close(): void
}

export type OpenSource = (request: SourceRequest, listener: SourceListener) => Source
