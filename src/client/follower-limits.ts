/** How long a follower waits, how often it asks, and how much it keeps. PROTOCOL.md §6. */

/** The times and limits of following. They hold together: whatever failed, 15 s after it ended all copies are equal. */
export const followerLimits = {
  /** How long a hole waits for late messages. */
  holeMs: 250,
  /** How long the messages below a head may take; up to twice this, at random. */
  graceMs: 250,
  /** A follower that cannot see holes in its stream asks at most this often, up to a fifth sooner, at random. */
  confirmMs: 10_000,
  /** Nothing is certain any more, just before the third head in a row would be missed: so there is time to ask. */
  silenceMs: 14_000,
  /** How often the API is asked while no source is heard, at random between the two. */
  pollMs: { least: 2_000, most: 5_000 },
  /** The waits after failures: at random, below a bound that doubles. */
  backoffMs: { first: 250, most: 8_000 },
  /** The longest `Retry-After` that is kept. */
  retryAfterMs: 10_000,
  /** How long a follower that begins waits for its source. */
  patienceMs: 1_000,
  /** Followers told of the same thing at once spread what it costs over this time. */
  spreadMs: 1_000,
  /** After a false alarm about the epoch, no other is believed for this time. */
  alarmMs: 5_000,
  /** An API that says for so long that it is older than the copy is believed: nobody is stuck for ever. */
  disbeliefMs: 30_000,
  /** An epoch that was left is not taken up again within this time: a late answer may still speak of it. */
  retiredMs: 5_000,
  /** Messages that wait for a hole or an answer; the oldest go first, and the feed gives them back. */
  maxBuffered: 100,
  /** Changes of an event stream that wait for an answer; past it the stream is opened anew. */
  maxPushed: 1_000,
  /** Calls of the application that wait for the copy. */
  maxWaits: 10_000,
  /** Changes per page of the feed; who is further behind asks for latest states only. */
  feedPage: 1_000,
  /** A follower in which something throws begins anew, so often within such a time; the next time it closes. */
  maxFaults: 3,
  faultsMs: 60_000,
} as const
