/** What MQTT 5 carries beside a payload: our names for it, and those of the packets that mqtt.js and Aedes read and write. */
import type { MessageProperties } from './broker.ts'

export interface PacketProperties {
  contentType?: string
  responseTopic?: string
  correlationData?: Buffer
  userProperties?: Record<string, string | string[]>
}

/** Leaves out what is missing or empty: a packet with user properties of which there are none is never sent. */
export function formatProperties(properties: MessageProperties): PacketProperties {
  const { contentType, responseTopic, correlationData, attributes } = properties
  return {
    ...(contentType === undefined ? {} : { contentType }),
    ...(responseTopic === undefined ? {} : { responseTopic }),
    ...(correlationData === undefined ? {} : { correlationData: Buffer.from(correlationData) }),
    ...(Object.keys(attributes ?? {}).length === 0 ? {} : { userProperties: { ...attributes } }),
  }
}

/** `undefined` where the packet has none, as in MQTT 3.1.1. */
export function readProperties(properties: PacketProperties | undefined): MessageProperties | undefined {
  if (properties === undefined) return undefined
  const { contentType, responseTopic, correlationData, userProperties } = properties
  return {
    ...(contentType === undefined ? {} : { contentType }),
    ...(responseTopic === undefined ? {} : { responseTopic }),
    ...(correlationData === undefined ? {} : { correlationData }),
    ...(userProperties === undefined ? {} : { attributes: readAttributes(userProperties) }),
  }
}

function readAttributes(userProperties: Readonly<Record<string, string | string[]>>): Record<string, string> {
  const attributes: Record<string, string> = Object.create(null)
  for (const [name, value] of Object.entries(userProperties))
    attributes[name] = (Array.isArray(value) ? value.at(-1) : value) ?? ''
  return attributes
}
