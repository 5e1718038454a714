/** Asks an instance how it stands. Any answer below 500 is a good one: a service without that page is alive too. */
import { LockstepError, type ReportError } from '../contract/index.ts'
import { openSocket, UpstreamConnection } from './connection.ts'
import type { Instance } from './instance.ts'

export interface HealthCheck {
  readonly path: string
  readonly everyMs: number
  readonly timeoutMs: number
  /** Failed checks in a row after which an instance gets no requests. */
  readonly failures: number
}

const failedInARow = new WeakMap<Instance, number>()
const running = new WeakSet<Instance>()

/** Checks once, and says so where an instance becomes well or unwell. Never rejects. */
export async function checkHealth(
  instance: Instance,
  check: HealthCheck,
  report: ReportError,
): Promise<void> {
  if (running.has(instance)) return
  running.add(instance)
  try {
    await ask(instance, check)
    failedInARow.delete(instance)
    instance.isHealthy = true
  } catch (cause) {
    const failed = (failedInARow.get(instance) ?? 0) + 1
    failedInARow.set(instance, failed)
    if (failed < check.failures || !instance.isHealthy) return
    instance.isHealthy = false
    const why = cause instanceof LockstepError ? ` ${cause.message}` : ''
    const text = `The instance ${instance.url} is not well and gets no requests.${why}`
    report(new LockstepError('api-unreachable', text, { cause }), { stage: 'health check' })
  } finally {
    running.delete(instance)
  }
}

/** On a connection of its own, so that a pool that is busy does not look like an instance that is dead. */
async function ask({ address }: Instance, { path, timeoutMs }: HealthCheck): Promise<void> {
  const socket = await openSocket(address, timeoutMs)
  const status = await new Promise<number>((resolve, reject) => {
    const timer = setTimeout(() => {
      connection.fail(new LockstepError('timeout', `${path} was not answered within ${timeoutMs} ms.`))
    }, timeoutMs)
    const owner = { onFree: () => connection.destroy(), onGone: () => clearTimeout(timer) }
    const connection = new UpstreamConnection(socket, owner)
    let head = 0
    const nothing = (): void => {}
    connection.send(
      'GET',
      `GET ${path} HTTP/1.1\r\nhost: ${address.authority}\r\nuser-agent: lockstep\r\nconnection: close\r\n\r\n`,
      {
        onHead: ({ status }) => {
          head = status
        },
        onBody: nothing,
        onSettled: nothing,
        onDrain: nothing,
        onUpgrade: nothing,
        onEnd: () => resolve(head),
        onFailure: reject,
      },
      { isComplete: true },
    )
  })
  if (status >= 500) throw new LockstepError('api-refused', `${path} was answered with ${status}.`)
}
