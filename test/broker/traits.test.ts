import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { type BrokerTraits, brokerTraits } from '../suites/broker-traits.ts'

const rows: Readonly<Record<string, (traits: BrokerTraits) => string>> = {
  'MQTT version': ({ protocolVersions }) => (protocolVersions.includes(5) ? '3.1.1 and 5' : '3.1.1'),
  'a subscription without the right to read is': ({ refusal }) => refusal,
  'a message without the right to publish (3.1.1) is': ({ forbidden }) => forbidden,
  'what a reader does not take is': ({ slowReader }) => slowReader,
  'messages are in order': ({ order }) => order,
  'filters of one connection': ({ maxFilters }) => (maxFilters === undefined ? 'hundreds' : `${maxFilters}`),
  'login over TLS': ({ tlsLogin }) => tlsLogin,
}

test('docs/broker.md says of each broker what the suites show', async () => {
  const text = await readFile(new URL('../../docs/broker.md', import.meta.url), 'utf8')
  const { mosquitto, rabbitmq, nats, aedes } = brokerTraits
  for (const [name, show] of Object.entries(rows)) {
    const row = `| ${[name, ...[mosquitto, rabbitmq, nats, aedes].map(show)].join(' | ')} |\n`
    assert.ok(text.includes(row), `docs/broker.md lacks the row ${row}`)
  }
})
