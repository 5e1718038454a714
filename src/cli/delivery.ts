/** What a broker delivered, read: a head, a message, or something that is not ours. */
import type { Delivery } from 'lockstep/broker'
import { type Head, type Message, parseHead, parseMessage } from 'lockstep/contract'

export type ReadDelivery =
  | { readonly kind: 'head'; readonly head: Head }
  | { readonly kind: 'message'; readonly message: Message }
  | { readonly kind: 'foreign' }

/** Never throws: anybody may publish anything. */
export function readDelivery({ topic, payload }: Delivery): ReadDelivery {
  try {
    if (/(^|\/)lockstep\/head\/[^/]+$/.test(topic)) return { kind: 'head', head: parseHead(payload) }
    const message = parseMessage(payload)
    return message === undefined ? { kind: 'foreign' } : { kind: 'message', message }
  } catch {
    return { kind: 'foreign' }
  }
}
