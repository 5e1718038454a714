import { passwordVariable } from '../../src/cli/acl-text.ts'
import { type OperatedBroker, type Orders, testBrokerOperation } from '../suites/broker-operation.ts'
import { type Nats, skipWithoutNats, startNats } from '../support/nats.ts'

/** Its gateway has one port, with TLS or without: so there are two servers. */
async function start({ acl, passwords, certificates }: Orders): Promise<OperatedBroker> {
  const files = {
    acl,
    'ca.crt': certificates?.ca ?? '',
    'server.crt': certificates?.server.cert ?? '',
    'server.key': certificates?.server.key ?? '',
  }
  const env = Object.fromEntries(
    Object.entries(passwords).map(([user, password]) => [passwordVariable(user), JSON.stringify(password)]),
  )
  const config = 'include "acl"'
  const plain = await startNats({ config, files, env })
  const mqtt =
    'tls { ca_file: "{dir}/ca.crt", cert_file: "{dir}/server.crt", key_file: "{dir}/server.key", verify: true }'
  const secure: Nats | undefined =
    certificates === undefined ? undefined : await startNats({ config, mqtt, files, env })
  return {
    port: plain.port,
    tlsPort: secure?.port,
    kill: plain.kill,
    restart: plain.restart,
    async [Symbol.asyncDispose]() {
      await plain.stop()
      await secure?.stop()
    },
  }
}

testBrokerOperation('NATS with JetStream', {
  kind: 'nats',
  start,
  skip: skipWithoutNats,
})
