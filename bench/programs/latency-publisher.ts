/** Publishes messages with the time in them at a steady rate, with mqtt.js at QoS 1. */
import { connectAsync } from 'mqtt'
import { keepPace } from '../harness/pace.ts'
import { runProgram } from '../harness/program.ts'

runProgram<{ url: string; perSecond: number }>(async ({ url, perSecond }) => {
  const client = await connectAsync(url, { protocolVersion: 4 })
  // As long as the message of a PATCH.
  const rest = { event: 'modified', resource: '/people/person-123', note: 'x'.repeat(90) }
  let number = 0
  return {
    commands: {
      run: ({ durationMs }: { durationMs: number }) =>
        keepPace(perSecond, durationMs, () => {
          const sent = String(process.hrtime.bigint())
          client.publish(`people/person-${number++ % 1_000}`, JSON.stringify({ sent, ...rest }), { qos: 1 })
        }),
    },
    close: () => client.endAsync(true),
  }
})
