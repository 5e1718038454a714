import { openEmbeddedBroker, type UserRights } from '../../src/broker/index.ts'
import { type OperatedBroker, type Orders, testBrokerOperation } from '../suites/broker-operation.ts'

async function start({ acl, passwords }: Orders): Promise<OperatedBroker> {
  const { service = '', ...readers } = passwords
  const options = {
    publishers: { service },
    readers,
    rights: JSON.parse(acl) as UserRights,
    onError: () => {},
  }
  let broker = await openEmbeddedBroker({ ...options, port: 0 })
  const { port } = broker
  return {
    port,
    kill: () => broker.close(),
    async restart() {
      broker = await openEmbeddedBroker({ ...options, port })
    },
    [Symbol.asyncDispose]: () => broker.close(),
  }
}

testBrokerOperation('the embedded broker (Aedes)', {
  kind: 'aedes',
  start,
  skip: false,
})
