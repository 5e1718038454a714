/** Topics: the REST view of any MQTT topic, and writing resources over MQTT. */
export type { TopicAccess, TopicRights } from './rights.ts'
export { mountTopics, openTopics, type Topics } from './topics.ts'
export type { TopicsLimits, TopicsOptions } from './topics-options.ts'
export type { WriteExchange, WriteReply } from './write-exchange.ts'
export type { WriteMethod } from './write-topic.ts'
export { type AuthorizeWrite, type MqttWrite, openWrites, type Writes, type WritesOptions } from './writes.ts'
