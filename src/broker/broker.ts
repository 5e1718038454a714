/**
 * The port to a broker: what relay and followers need of MQTT, and nothing more.
 *
 * A broker is a fast hint. It may lose, repeat and reorder messages at any time; nobody depends on sessions,
 * queues, retained messages or wills. An adapter MUST use a clean session and QoS 1 for everything: brokers let
 * a QoS 0 message overtake a QoS 1 one, and some then drop it. PROTOCOL.md §3 and §6.
 */

import type { LockstepError } from '../contract/index.ts'

export interface PublishOptions {
  /** Ask the broker to keep it as the topic's last message, or, with an empty payload, to keep none. Of messages, only heads are retained. @default false */
  readonly retain?: boolean
  /** How long to wait for the acknowledgement. @default 10_000 */
  readonly timeoutMs?: number
  /** Texts beside the payload, by name. Called where the protocol has room for them (MQTT 5), else they are left out. */
  readonly attributes?: () => Readonly<Record<string, string>>
  /** What MQTT 5 sends beside the payload; left out where the protocol has no room for it. @default the content type is JSON */
  readonly properties?: MessageProperties
}

/** What MQTT 5 carries beside a payload. */
export interface MessageProperties {
  readonly contentType?: string
  /** Where an answer is expected. */
  readonly responseTopic?: string
  /** What the answer must bring back. */
  readonly correlationData?: Uint8Array
  /** User properties; of several with one name the last. */
  readonly attributes?: Readonly<Record<string, string>>
}

/** Who has published a message. */
export interface Publisher {
  readonly clientId: string
  /** Missing for who has not given one. */
  readonly username?: string
}

/** A message as it arrived. `retained` means that the broker had kept it: it may be of any age. */
export interface Delivery {
  readonly topic: string
  /** As text; what is no UTF-8 has replacement characters here. */
  readonly payload: string
  readonly retained: boolean
  /** The payload as it came. Missing where it was published as text inside of this process. */
  readonly bytes?: Uint8Array
  /** Missing where the connection does not speak MQTT 5, or nothing came beside the payload. */
  readonly properties?: MessageProperties
  /** Missing where the broker does not say; only the embedded one does, of clients from outside the process. */
  readonly publisher?: Publisher
}

export interface SubscribeOptions {
  /**
   * Is told that the broker refuses the subscription (`broker-refused`), once until it is granted: it is asked for again,
   * later each time. `subscribe` then resolves. Without it a subscription that is refused at first rejects.
   */
  readonly onRefused?: (error: LockstepError) => void
  /** Is told that what was refused is granted. */
  readonly onGranted?: () => void
}

export interface Subscription extends AsyncDisposable {
  /** No listener call follows. Idempotent. */
  close(): Promise<void>
}

export interface Broker extends AsyncDisposable {
  /** Is the connection up, and is every subscription acknowledged on it? */
  readonly connected: boolean

  /**
   * Resolves when the broker has acknowledged the message. MUST keep the order of calls per connection.
   * MUST NOT queue while disconnected: it rejects at once with `broker-unreachable`, as do publications whose
   * acknowledgement is open when the connection is lost. Errors: also `message-too-large`, `broker-refused`,
   * `overloaded` where too many wait, `timeout`, `invalid-topic`, `closed`.
   */
  publish(topic: string, payload: string | Uint8Array, options?: PublishOptions): Promise<void>

  /**
   * Calls `listener` for each delivery whose topic matches one of the filters. Resolves at the first
   * acknowledgement, which is when the connection comes up where it is down; MUST renew the subscription after
   * each reconnect by itself, and ask again for one that was granted and is refused. A delivery that matches several filters
   * MAY come several times. A listener that throws MUST NOT harm other listeners. Errors: `broker-refused` where the broker
   * denies a filter and nobody hears `onRefused`, `invalid-topic` for what is no filter, `closed`.
   */
  subscribe(
    filters: readonly string[],
    listener: (delivery: Delivery) => void,
    options?: SubscribeOptions,
  ): Promise<Subscription>

  /**
   * Calls `listener` whenever `connected` changes. On the way up it MUST be called only after all subscriptions
   * are acknowledged again, so that whoever looks for a gap then looks after the last possible loss.
   * Returns a function that ends it.
   */
  onConnection(listener: (connected: boolean) => void): () => void

  /** Ends the connection; pending calls reject with `closed`. Idempotent. */
  close(): Promise<void>
}
