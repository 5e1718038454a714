/** What the broker suite needs of an adapter, and the steps that its tests share. */
import type { Broker, Subscription } from '../../src/broker/index.ts'
import { connection, Inbox } from '../support/inbox.ts'

/** An adapter and a broker behind it, fresh for each test. */
export interface BrokerSetup extends AsyncDisposable {
  /** A new connection; it need not be up yet. */
  connect(): Promise<Broker>
  /** Where the broker can fail: takes it away without a word, and brings it back with nothing kept. */
  readonly outage?: { down(): Promise<void>; up(): Promise<void> }
  /** Makes the broker acknowledge nothing until it goes down. @default publications of one turn stay open anyway */
  freeze?(): void
}

export type Check = (setup: BrokerSetup) => Promise<void>
/** Registers a test. */
export type Test = (title: string, check: Check) => void

/** A connection that is up, closed at the end of the scope. */
export async function up(setup: BrokerSetup): Promise<Broker> {
  const broker = await setup.connect()
  await connection(broker)
  return broker
}

/** Subscribes with a new inbox. */
export async function listen(
  broker: Broker,
  filters: readonly string[],
): Promise<Inbox & { subscription: Subscription }> {
  const inbox = new Inbox()
  return Object.assign(inbox, { subscription: await broker.subscribe(filters, inbox.listener) })
}

/** Subscribes and, since messages are in order, ends with a mark of its own: all that came before has come. */
export async function drained(broker: Broker, inbox: Inbox, topic: string): Promise<void> {
  const mark = `mark ${Math.random()}`
  await broker.publish(topic, mark)
  await inbox.reachPayload(mark)
}
