/** A trace goes on from the request to whoever takes in the change, with the API of OpenTelemetry as it is. PROTOCOL.md §4.11. */
import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { after, before, test } from 'node:test'
import { type Context, type ContextManager, context, ROOT_CONTEXT, trace } from '@opentelemetry/api'
import { formatTraceparent, parseTraceparent } from '../../src/contract/index.ts'
import { openObservedSystem } from '../support/observed.ts'
import { eventually, projects } from '../support/service.ts'

/** What an SDK brings: the active context follows the asynchronous calls. */
class AsyncContexts implements ContextManager {
  readonly #storage = new AsyncLocalStorage<Context>()
  active(): Context {
    return this.#storage.getStore() ?? ROOT_CONTEXT
  }
  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    active: Context,
    run: F,
    thisArg?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.#storage.run(active, () => run.call(thisArg as ThisParameterType<F>, ...args))
  }
  bind<T>(_active: Context, target: T): T {
    return target
  }
  enable(): this {
    return this
  }
  disable(): this {
    return this
  }
}

before(() => context.setGlobalContextManager(new AsyncContexts()))
after(() => context.disable())

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const atServer = { traceId, spanId: '00f067aa0ba902b7', traceFlags: 1 }
const atClient = `00-${traceId}-1111111111111111-01`

test('a follower goes on with the trace of the request that made the change', async () => {
  await using system = await openObservedSystem()
  const follower = system.lockstep.follow('/projects')
  await follower.ready
  const seen: unknown[] = []
  follower.on('change', ({ event, cause }) => {
    const from = parseTraceparent(cause)
    if (event !== 'created' || from === undefined) return
    const parent = trace.setSpanContext(ROOT_CONTEXT, { ...from, isRemote: true })
    context.with(parent, () => {
      const span = trace.getTracer('test').startSpan('take in', { links: [{ context: from }] })
      seen.push(span.spanContext().traceId)
      span.end()
    })
  })
  await fetch(`${system.url}/projects/a`, {
    method: 'PUT',
    headers: { traceparent: atClient, 'content-type': 'application/json' },
    body: '{"title":"A"}',
  })
  await eventually(() => follower.state.has('a'))
  assert.deepEqual(seen, [traceId])
})

test('the span that is active in the service is the cause, of requests and of transactions', async () => {
  const cause = (): string | undefined => formatTraceparent(trace.getActiveSpan()?.spanContext())
  await using system = await openObservedSystem({ cause })
  const active = trace.setSpan(ROOT_CONTEXT, trace.wrapSpanContext(atServer))
  const { api } = system
  await context.with(active, () => api.ask('PUT', '/projects/a', { body: { title: 'A' } }))
  await context.with(active, () => api.service.transaction(tx => tx.create(projects, { title: 'B' })))
  await api.ask('PUT', '/projects/c', { body: { title: 'C' } })
  const causes = (await api.changes('projects')).map(change => change['cause'] as string)
  assert.deepEqual(causes.slice(0, 2), [formatTraceparent(atServer), formatTraceparent(atServer)])
  assert.equal(parseTraceparent(causes[2]), undefined)
})
