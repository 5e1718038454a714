/** What the broker delivers while an API is judged, in the order in which it came. PROTOCOL.md §3. */
import type { Broker, Delivery } from '../broker/broker.ts'
import { type Head, isJsonObject, type JsonObject, parseHead, parseJson } from '../contract/index.ts'

export interface Heard {
  readonly topic: string
  readonly text: string
  /** As JSON; `undefined` where it is none. */
  readonly json: JsonObject | undefined
}

export interface Hearing extends AsyncDisposable {
  /** Deliveries that are no heads, the retained ones left out. */
  readonly messages: readonly Heard[]
  /** Heads as they came, not the retained ones. */
  readonly heads: readonly { readonly topic: string; readonly head: Head }[]
  /** Heads that the broker had kept. */
  readonly retainedHeads: readonly { readonly topic: string; readonly head: Head }[]
  /** What cannot be read although it came on a topic of ours. */
  readonly unreadable: readonly string[]
  /** How often the connection was lost: then the broker may have lost messages too. */
  readonly losses: number
  /** Resolves with `true` once the condition holds, or with `false` after the time. It is looked at after each delivery. */
  until(condition: () => boolean, timeoutMs: number): Promise<boolean>
}

const maxMessages = 100_000

/** Subscribes to the streams of an API and to their heads. Resolves when the broker has granted it. */
export async function hear(broker: Broker, streams: readonly string[], prefix: string): Promise<Hearing> {
  const messages: Heard[] = []
  const heads: { topic: string; head: Head }[] = []
  const retainedHeads: { topic: string; head: Head }[] = []
  const unreadable: string[] = []
  const waiting = new Set<() => void>()
  let losses = 0
  const headRoot = `${prefix}lockstep/head/`
  const take = ({ topic, payload, retained }: Delivery): void => {
    if (topic.startsWith(headRoot)) {
      try {
        ;(retained ? retainedHeads : heads).push({ topic, head: parseHead(payload) })
      } catch (error) {
        unreadable.push(`${topic}: ${(error as Error).message}`)
      }
    } else if (!retained && messages.length < maxMessages)
      messages.push({ topic, text: payload, json: read(payload) })
    for (const check of waiting) check()
  }
  const filters = [...streams.map(stream => `${prefix}${stream}/#`), `${headRoot}+`]
  const stopWatching = broker.onConnection(connected => {
    if (!connected) losses++
  })
  const subscription = await broker.subscribe(filters, take)
  return {
    messages,
    heads,
    retainedHeads,
    unreadable,
    get losses() {
      return losses
    },
    until: (condition, timeoutMs) =>
      new Promise(resolve => {
        const end = (holds: boolean): void => {
          clearTimeout(timer)
          waiting.delete(check)
          resolve(holds)
        }
        const check = (): void => {
          if (condition()) end(true)
        }
        const timer = setTimeout(end, timeoutMs, false)
        waiting.add(check)
        check()
      }),
    async [Symbol.asyncDispose]() {
      stopWatching()
      await subscription.close()
    },
  }
}

function read(text: string): JsonObject | undefined {
  try {
    const value = parseJson(text)
    return isJsonObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
