import { connectMqtt } from '../../src/broker/index.ts'
import { testBroker } from '../suites/broker.ts'
import { skipWithoutMosquitto, startMosquitto } from '../support/mosquitto.ts'

for (const protocolVersion of [4, 5] as const) {
  testBroker(
    `Mosquitto, MQTT ${protocolVersion === 4 ? '3.1.1' : '5'}`,
    async () => {
      const mosquitto = await startMosquitto()
      return {
        connect: () =>
          connectMqtt(mosquitto.url, {
            protocolVersion,
            retry: { minDelayMs: 5, maxDelayMs: 20 },
            onError: () => {},
          }),
        outage: { down: mosquitto.kill, up: mosquitto.restart },
        freeze: mosquitto.pause,
        [Symbol.asyncDispose]: mosquitto.stop,
      }
    },
    { skip: skipWithoutMosquitto },
  )
}
