/** Hears a channel for the time of a test. */
import type { Channel } from '../../src/contract/channel.ts'

export interface HeardChannel<Message> extends Disposable {
  readonly messages: readonly Message[]
}

/** Keeps what a channel tells until it is disposed. */
export function hearChannel<Message>(channel: Channel<Message>): HeardChannel<Message> {
  const messages: Message[] = []
  const subscriber = (message: Message): void => void messages.push(message)
  channel.subscribe(subscriber)
  return { messages, [Symbol.dispose]: () => channel.unsubscribe(subscriber) }
}
