/** In what brokers differ, each shown by the suites on the real program, and all of it in docs/broker.md. */
import type { AclBroker } from '../../src/cli/acl-text.ts'

export interface BrokerTraits {
  readonly protocolVersions: readonly (4 | 5)[]
  /** What becomes of a subscription without the right to read. */
  readonly refusal: 'refused' | 'answered by closing the connection' | 'granted, and nothing delivered'
  /** What becomes of a message without the right to publish, by MQTT 3.1.1, which cannot refuse it. */
  readonly forbidden: 'acknowledged, and not delivered' | 'answered by closing the connection'
  /** What becomes of messages to a reader that takes none, given room for few where that can be set. */
  readonly slowReader: 'dropped' | 'kept'
  readonly order: 'over all filters' | 'for each filter'
  /** How many filters a connection may have; more are refused. `undefined` where hundreds are fine. */
  readonly maxFilters: number | undefined
  /** What a client shows over TLS; `none` where there is no TLS. */
  readonly tlsLogin: 'certificate' | 'certificate and password' | 'none'
}

export const brokerTraits: Readonly<Record<AclBroker, BrokerTraits>> = {
  mosquitto: {
    protocolVersions: [4, 5],
    refusal: 'granted, and nothing delivered',
    forbidden: 'acknowledged, and not delivered',
    slowReader: 'dropped',
    order: 'over all filters',
    maxFilters: undefined,
    tlsLogin: 'certificate',
  },
  rabbitmq: {
    protocolVersions: [4],
    refusal: 'answered by closing the connection',
    forbidden: 'answered by closing the connection',
    slowReader: 'dropped',
    order: 'over all filters',
    maxFilters: undefined,
    tlsLogin: 'certificate',
  },
  nats: {
    protocolVersions: [4],
    refusal: 'refused',
    forbidden: 'acknowledged, and not delivered',
    slowReader: 'kept',
    order: 'for each filter',
    // A client has 65,535 messages on their way at most, and 1,024 for each filter.
    maxFilters: 63,
    tlsLogin: 'certificate and password',
  },
  aedes: {
    protocolVersions: [4],
    refusal: 'refused',
    forbidden: 'answered by closing the connection',
    slowReader: 'kept',
    order: 'over all filters',
    maxFilters: undefined,
    tlsLogin: 'none',
  },
}
