/** Something throws in the middle of a follower's step: it begins anew, or closes loudly; it never goes on as if nothing were. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../src/client/clock.ts'
import type { CollectionFollower } from '../../src/client/follower.ts'
import type { JsonObject } from '../../src/contract/index.ts'
import { live, newFile, open, type Stage } from './replica-stage.ts'

/** A mistake in a part that the steps use: the next so many of them throw. */
function createFaultyRandom(): { left: number; random(): number } {
  return {
    left: 0,
    random() {
      if (this.left === 0) return 0.5
      this.left--
      throw new Error('a mistake')
    },
  }
}

async function follow(
  stage: Stage,
  options: { replica?: string; embed?: string } = {},
): Promise<{ people: CollectionFollower<JsonObject>; faulty: { left: number }; told: string[] }> {
  const faulty = createFaultyRandom()
  const connection = await stage.connect(undefined, { random: () => faulty.random() })
  const people = connection.follow('/people', options) as CollectionFollower<JsonObject>
  const told: string[] = []
  people.on('status', status => told.push(status))
  people.on('change', ({ event }) => told.push(event))
  await live(people)
  told.length = 0
  return { people, faulty, told }
}

for (const kind of ['memory', 'replica'] as const) {
  test(`a step that throws costs a new baseline, and no call is lost: ${kind}`, async () => {
    await using stage = await open()
    const replica = kind === 'replica' ? newFile() : undefined
    const { people, faulty, told } = await follow(stage, replica === undefined ? {} : { replica })
    stage.isDown = true
    faulty.left = 1
    // The failure of the question is what the step cannot cope with.
    const refreshed = people.refresh()
    await stage.reports.stage('follower')
    assert.deepEqual([people.status, people.marker, people.state.size], ['connecting', '', 0])
    stage.isDown = false
    await refreshed
    await live(people)
    assert.deepEqual([told.includes('connecting'), told.includes('refreshed')], [true, true])
    await people.atLeast(await stage.write('PATCH', 'ann', { age: 3 }))
    assert.deepEqual([people.state.size, people.state.get('ann')?.['age']], [3, 3])
    people.close()
    if (replica === undefined) return
    stage.isDown = true
    const again = (await stage.connect()).follow('/people', { replica }) as CollectionFollower<JsonObject>
    assert.deepEqual([again.state.size, again.state.get('ann')?.['age']], [3, 3])
  })

  test(`a follower whose steps throw again and again closes, and says why: ${kind}`, async () => {
    await using stage = await open()
    const replica = kind === 'replica' ? newFile() : undefined
    const { people, faulty, told } = await follow(stage, replica === undefined ? {} : { replica })
    const { marker } = people
    stage.isDown = true
    faulty.left = 4
    await assert.rejects(people.refresh(), { code: 'closed' })
    const report = await stage.reports.find(({ code }) => code === 'internal')
    assert.match(
      report.text,
      /The follower of \/people failed 4 times within 60 s and was closed: a mistake\./,
    )
    assert.deepEqual([people.status, told.at(-1)], ['closed', 'closed'])
    assert.equal(stage.reports.all.filter(({ text }) => text === 'a mistake').length, 4)
    if (replica === undefined) return
    // The file holds the last moment that was whole.
    const again = (await stage.connect()).follow('/people', { replica })
    assert.deepEqual([again.marker, again.state.size], [marker, 3])
  })
}

test('a call whose own step throws fails, and the follower goes on', async () => {
  await using stage = await open()
  let isFaulty = false
  const now = (): number => {
    if (!isFaulty) return performance.now()
    isFaulty = false
    throw new Error('a mistake')
  }
  const connection = await stage.connect(undefined, { clock: { ...systemClock, now } })
  const people = connection.follow('/people')
  await live(people)
  isFaulty = true
  await assert.rejects(people.refresh(), { code: 'internal' })
  await people.refresh()
  await live(people)
  assert.equal(people.state.size, 3)
})

test('a source that cannot be opened because its part throws closes the follower rather than leave it unheard', async () => {
  await using stage = await open()
  const broken = {
    connected: true,
    subscribe() {},
    onConnection() {
      throw new Error('no such thing')
    },
  }
  const connection = await stage.connect(undefined, { broker: broken as never })
  const people = connection.follow('/people')
  await assert.rejects(people.ready, { code: 'closed' })
  assert.match((await stage.reports.find(({ code }) => code === 'internal')).text, /no such thing/)
})
