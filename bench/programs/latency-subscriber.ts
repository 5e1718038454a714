/** Hears the messages of latency-publisher.ts with mqtt.js, and tells how long they were on their way. */
import { connectAsync } from 'mqtt'
import { runProgram } from '../harness/program.ts'
import { percentile } from '../harness/summary.ts'

export interface TimesResult {
  readonly count: number
  readonly p50Ms: number
  readonly p99Ms: number
}

runProgram<{ url: string }>(async ({ url }) => {
  const client = await connectAsync(url, { protocolVersion: 4 })
  let times: number[] = []
  client.on('message', (_topic, payload) => {
    const { sent } = JSON.parse(payload.toString()) as { sent: string }
    times.push(Number(process.hrtime.bigint() - BigInt(sent)) / 1e6)
  })
  await client.subscribeAsync('people/#', { qos: 1 })
  return {
    commands: {
      reset() {
        times = []
      },
      times(): TimesResult {
        const sorted = times.sort((a, b) => a - b)
        return { count: sorted.length, p50Ms: percentile(sorted, 0.5), p99Ms: percentile(sorted, 0.99) }
      },
    },
    close: () => client.endAsync(true),
  }
})
