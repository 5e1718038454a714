/** The broker: the port to it, and one adapter per kind. */
export type { ReportError } from '../contract/index.ts'
export * from './broker.ts'
export {
  type EmbeddedBrokerLimits,
  type EmbeddedBrokerOptions,
  openEmbeddedBroker,
} from './embedded.ts'
export type { EmbeddedBroker } from './embedded-broker.ts'
export type { TopicRights, UserRights } from './embedded-rights.ts'
export { createMemoryHub, type MemoryHub, type MemoryHubOptions } from './memory.ts'
export { type ConnectMqttOptions, connectMqtt, type MqttLimits } from './mqtt.ts'
