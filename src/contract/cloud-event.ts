/** A message's attributes as a CloudEvent, for who hears many kinds of events and looks at no payload. PROTOCOL.md 3.11. */
import type { Message } from './message.ts'
import { parsePosition } from './position.ts'

/** By their names in CloudEvents 1.0.2. Those that a message lacks are missing. */
export type CloudEventAttributes = Readonly<Record<string, string>>

/** The attributes of a message; the message itself is the event's data. Errors: `invalid-position`. */
export function toCloudEventAttributes(message: Message): CloudEventAttributes {
  const { id, event, resource, time } = message
  return {
    specversion: '1.0',
    id,
    source: `/${parsePosition(id).stream}`,
    type: `lockstep.${event}`,
    subject: resource,
    ...(time === undefined ? {} : { time }),
  }
}
