import { type OperatedBroker, type Orders, testBrokerOperation } from '../suites/broker-operation.ts'
import { freePort } from '../support/broker-program.ts'
import { formatMosquittoPasswords, skipWithoutMosquitto, startMosquitto } from '../support/mosquitto.ts'

async function start({ acl, passwords, certificates }: Orders): Promise<OperatedBroker> {
  const tlsPort = await freePort()
  const tls = [
    `listener ${tlsPort} 127.0.0.1`,
    'cafile {dir}/ca.crt',
    'certfile {dir}/server.crt',
    'keyfile {dir}/server.key',
    'require_certificate true',
    'use_identity_as_username true',
  ]
  const mosquitto = await startMosquitto({
    config: [
      'allow_anonymous false',
      'password_file {dir}/passwords',
      'acl_file {dir}/acl',
      'max_inflight_messages 10',
      'max_queued_messages 10',
      ...(certificates === undefined ? [] : tls),
    ].join('\n'),
    files: {
      acl,
      passwords: formatMosquittoPasswords(passwords),
      'ca.crt': certificates?.ca ?? '',
      'server.crt': certificates?.server.cert ?? '',
      'server.key': certificates?.server.key ?? '',
    },
  })
  return { ...mosquitto, tlsPort }
}

testBrokerOperation('Mosquitto', {
  kind: 'mosquitto',
  start,
  skip: skipWithoutMosquitto,
})
