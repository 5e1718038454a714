/** Metrics, with prom-client as it is. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as client from 'prom-client'
import {
  bridgeChannel,
  commitChannel,
  errorChannel,
  followerChannel,
  LockstepError,
  relayChannel,
  requestChannel,
} from '../../src/contract/index.ts'
import {
  createPrometheusMetrics,
  type Labels,
  type MetricDescription,
  type Metrics,
  startMetrics,
} from '../../src/observe/index.ts'
import { openObservedSystem } from '../support/observed.ts'
import { eventually } from '../support/service.ts'

/** The lines of an exposition that are values, by name and labels. */
async function scrape(register: client.Registry): Promise<Readonly<Record<string, number>>> {
  const lines = (await register.metrics()).split('\n').filter(line => line !== '' && !line.startsWith('#'))
  return Object.fromEntries(lines.map(line => [line.replace(/ [^ ]+$/, ''), Number(line.split(' ').at(-1))]))
}

test('prom-client counts requests, commits, relay and followers of a system', async () => {
  const register = new client.Registry()
  const stop = startMetrics(createPrometheusMetrics(client, { registers: [register] }))
  try {
    await using system = await openObservedSystem()
    const { api, lockstep, hub } = system
    const follower = lockstep.follow('/projects')
    await follower.ready
    await eventually(() => follower.status === 'live')
    await api.ask('PUT', '/projects/a', { body: { title: 'A' } })
    await api.ask('PUT', '/projects/a', { body: { title: 'B' } })
    await api.ask('PUT', '/projects/a', { body: {} })
    await api.ask('GET', '/nothing/5')
    await api.ask('BREW', '/projects')
    await eventually(() => follower.state.get('a')?.['title'] === 'B')
    await eventually(async () => (await scrape(register))['lockstep_relay_lag{stream="projects"}'] === 0)
    const values = await scrape(register)
    assert.equal(values['lockstep_relay_connected{stream="projects"}'], 1)
    const expected: Readonly<Record<string, number>> = {
      'lockstep_requests_total{route="/projects/{id}",method="PUT",status="201"}': 1,
      'lockstep_requests_total{route="/projects/{id}",method="PUT",status="200"}': 1,
      'lockstep_requests_total{route="/projects/{id}",method="PUT",status="422"}': 1,
      'lockstep_requests_total{route="none",method="GET",status="404"}': 1,
      'lockstep_requests_total{route="/projects",method="other",status="405"}': 1,
      'lockstep_request_duration_seconds_count{route="/projects/{id}",method="PUT"}': 3,
      lockstep_works_total: 3,
      lockstep_changes_total: 2,
      lockstep_commit_duration_seconds_count: 3,
      'lockstep_relay_published_total{stream="projects"}': 2,
      'lockstep_followers{stream="projects",status="live"}': 1,
      'lockstep_follower_stale_seconds{stream="projects"}': 0,
      'lockstep_follower_changes_total{stream="projects",event="created"}': 1,
      'lockstep_follower_changes_total{stream="projects",event="modified"}': 1,
    }
    for (const [name, value] of Object.entries(expected)) assert.equal(values[name], value, name)
    const baselines = values['lockstep_follower_questions_total{stream="projects",question="baseline"}']
    assert.ok(baselines! >= 1)

    hub.stop()
    await eventually(() => follower.status === 'stale')
    await eventually(
      async () => (await scrape(register))['lockstep_relay_connected{stream="projects"}'] === 0,
    )
    const cutOff = await scrape(register)
    assert.equal(cutOff['lockstep_followers{stream="projects",status="stale"}'], 1)
    assert.equal(cutOff['lockstep_followers{stream="projects",status="live"}'], undefined)
    assert.ok(cutOff['lockstep_follower_stale_seconds{stream="projects"}']! > 0)
  } finally {
    stop()
  }
  // What has ended is no longer a value.
  const ended = Object.keys(await scrape(register)).filter(name =>
    /_(lag|connected|followers|seconds)\{/.test(name),
  )
  assert.deepEqual(
    ended.filter(name => !name.includes('request')),
    [],
  )
})

test('errors are counted by stage and code, and nothing is counted after the end', async () => {
  const register = new client.Registry()
  const stop = startMetrics(createPrometheusMetrics(client, { registers: [register] }))
  errorChannel.publish({ error: new LockstepError('log-failed', 'x'), stage: 'commit' })
  errorChannel.publish({ error: new Error('y'), stage: 'relay' })
  relayChannel.publish({ event: 'reset', stream: 'people', seq: 5 })
  stop()
  errorChannel.publish({ error: new Error('z'), stage: 'relay' })
  const values = await scrape(register)
  assert.equal(values['lockstep_errors_total{stage="commit",code="log-failed"}'], 1)
  assert.equal(values['lockstep_errors_total{stage="relay",code="internal"}'], 1)
  assert.equal(values['lockstep_relay_resets_total{stream="people"}'], 1)
  for (const channel of [
    bridgeChannel,
    commitChannel,
    errorChannel,
    followerChannel,
    relayChannel,
    requestChannel,
  ])
    assert.equal(channel.hasSubscribers, false, channel.name)
})

test('no label is ever an id: as many series as there are routes, streams, statuses and codes', async () => {
  const labels = new Set<string>()
  const keep = (values: Labels): void => {
    for (const value of Object.values(values)) labels.add(value)
  }
  const metrics: Metrics = {
    counter: () => keep,
    histogram: () => keep,
    gauge: () => {},
  }
  const stop = startMetrics(metrics)
  try {
    await using system = await openObservedSystem()
    const follower = system.lockstep.follow('/projects/secret-7')
    await follower.ready
    for (let n = 0; n < 20; n++) {
      await system.api.ask('PUT', `/projects/secret-${n}`, { body: { title: 'A' } })
      await system.api.ask('GET', `/secret-${n}/secret-${n}`)
      await system.api.ask('GET', `/projects/secret-${n}?secret=${n}`)
    }
  } finally {
    stop()
  }
  assert.ok(labels.has('/projects/{id}'))
  assert.deepEqual(
    [...labels].filter(label => label.includes('secret')),
    [],
  )
})

test('docs/observability.md names each metric with its labels, and no other', () => {
  const made: string[] = []
  const note = ({ name, labels }: MetricDescription): (() => void) => {
    made.push([name, ...labels].join(' '))
    return () => {}
  }
  startMetrics({ counter: note, histogram: note, gauge: note })()
  const text = readFileSync(new URL('../../docs/observability.md', import.meta.url), 'utf8')
  const told = [...text.matchAll(/^\| `(lockstep_\w+)` \| ([^|]*)\|/gm)].map(([, name, labels]) =>
    [name, ...labels!.matchAll(/\w+/g)].join(' '),
  )
  assert.deepEqual(told.sort(), made.sort())
})

test('what is no prom-client, and no metrics, is refused; names that are taken are prom-client’s to refuse', () => {
  assert.throws(() => createPrometheusMetrics({} as typeof client), { code: 'invalid-option' })
  assert.throws(() => startMetrics(client as unknown as Metrics), { code: 'invalid-option' })
  const register = new client.Registry()
  const metrics = createPrometheusMetrics(client, { registers: [register] })
  startMetrics(metrics)()
  assert.throws(() => startMetrics(metrics), /already been registered/)
  for (const channel of [
    bridgeChannel,
    commitChannel,
    errorChannel,
    followerChannel,
    relayChannel,
    requestChannel,
  ])
    assert.equal(channel.hasSubscribers, false, channel.name)
})
