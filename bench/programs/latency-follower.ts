/**
 * Follows the people with Lockstep's client, changes one of them at a steady rate, and tells how long it takes
 * from the answer to a PATCH, and from the PATCH itself, to the listener of the change.
 */
import { Agent, request } from 'node:http'
import { connect } from 'lockstep/client'
import { keepPace } from '../harness/pace.ts'
import { runProgram } from '../harness/program.ts'
import { percentile } from '../harness/summary.ts'

export interface LatencyOptions {
  readonly port: number
  readonly brokerUrl: string | undefined
  readonly people: number
  readonly perSecond: number
}

export interface LatencyResult {
  readonly count: number
  readonly fromResponseP50Ms: number
  readonly fromResponseP99Ms: number
  readonly fromRequestP50Ms: number
  readonly fromRequestP99Ms: number
}

interface Write {
  readonly sentMs: number
  answeredMs: number
  heardMs: number
}

const hearTimeoutMs = 10_000

runProgram<LatencyOptions>(async ({ port, brokerUrl, people, perSecond }) => {
  const connection = await connect<{ people: { id: string; email: string } }>({
    api: `http://127.0.0.1:${port}`,
    broker: brokerUrl,
  })
  const follower = connection.follow('/people')
  await follower.ready
  while (follower.status !== 'live') await new Promise(resolve => setTimeout(resolve, 20))
  const agent = new Agent({ keepAlive: true, maxSockets: 16 })
  const writes = new Map<string, Write>()
  let open = 0
  let onDone: (() => void) | undefined
  let fail: (error: Error) => void = () => {}
  let number = 0

  const settle = (): void => {
    if (--open === 0) onDone?.()
  }
  follower.on('change', ({ state }) => {
    const write = state && writes.get(state.email)
    if (write === undefined || write.heardMs !== 0) return
    write.heardMs = performance.now()
    settle()
  })

  const send = (): void => {
    const email = `latency-${number}@mail.example.com`
    const write: Write = { sentMs: performance.now(), answeredMs: 0, heardMs: 0 }
    writes.set(email, write)
    open += 2
    const options = {
      agent,
      port,
      host: '127.0.0.1',
      method: 'PATCH',
      path: `/people/person-${number++ % people}`,
      headers: { 'content-type': 'application/json' },
    }
    const sent = request(options, response => {
      if (response.statusCode !== 200) fail(new Error(`A PATCH was answered with ${response.statusCode}.`))
      write.answeredMs = performance.now()
      settle()
      response.resume()
    })
    sent.on('error', error => fail(error))
    sent.end(JSON.stringify({ email }))
  }

  return {
    commands: {
      async run({ durationMs }: { durationMs: number }): Promise<LatencyResult> {
        writes.clear()
        const failed = new Promise<never>((_, reject) => {
          fail = reject
        })
        const settled = new Promise<void>(resolve => {
          onDone = resolve
        })
        open = 1
        const pacing = keepPace(perSecond, durationMs, send).then(settle)
        const timer = setTimeout(
          () => fail(new Error(`${open} answers or changes did not come within ${hearTimeoutMs} ms.`)),
          durationMs + hearTimeoutMs,
        )
        await Promise.race([Promise.all([pacing, settled]), failed])
        clearTimeout(timer)
        return sumUp([...writes.values()])
      },
    },
    async close() {
      agent.destroy()
      await connection.close()
    },
  }
})

function sumUp(writes: readonly Write[]): LatencyResult {
  const fromResponse = writes.map(write => write.heardMs - write.answeredMs).sort((a, b) => a - b)
  const fromRequest = writes.map(write => write.heardMs - write.sentMs).sort((a, b) => a - b)
  return {
    count: writes.length,
    fromResponseP50Ms: percentile(fromResponse, 0.5),
    fromResponseP99Ms: percentile(fromResponse, 0.99),
    fromRequestP50Ms: percentile(fromRequest, 0.5),
    fromRequestP99Ms: percentile(fromRequest, 0.99),
  }
}
