/** What `connect`, `follow`, `refresh`, `atLeast` and `where` are given: mistakes are told at once and in words. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import test from 'node:test'
import { type Connection, type ConnectOptions, connect } from '../../src/client/connection.ts'
import type { CollectionFollower } from '../../src/client/follower.ts'
import { isLockstepError, type JsonObject } from '../../src/contract/index.ts'
import { openTestService, type TestService } from '../support/service.ts'

async function open(
  options: Partial<ConnectOptions> = {},
): Promise<AsyncDisposable & { service: TestService; lockstep: Connection; asked: Headers[] }> {
  const service = await openTestService()
  await service.ask('POST', '/people', { body: { id: 'ann', name: 'Ann' } })
  const asked: Headers[] = []
  const lockstep = await connect({
    api: 'http://service.test',
    onError() {},
    fetch: async (input, init) => {
      const request = new Request(input, init)
      asked.push(request.headers)
      return await service.service.fetch(request)
    },
    ...options,
  })
  return {
    service,
    lockstep,
    asked,
    async [Symbol.asyncDispose]() {
      await lockstep.close()
      await service[Symbol.asyncDispose]()
    },
  }
}

async function refusal(action: () => unknown): Promise<{ code: string; message: string }> {
  try {
    await action()
  } catch (error) {
    assert.ok(isLockstepError(error), String(error))
    return error
  }
  throw new Error('It was not refused.')
}

/** Each is refused with a text that fits, as `invalid-option` where nothing else is said. */
async function assertRefused(
  cases: readonly (readonly [action: () => unknown, text: RegExp])[],
  code = 'invalid-option',
): Promise<void> {
  for (const [action, text] of cases) {
    const error = await refusal(action)
    assert.deepEqual([error.code, text.test(error.message)], [code, true], error.message)
  }
}

test('follow refuses options that it does not know or cannot use', async () => {
  await using stage = await open()
  const follow = (path: string, options: unknown) => () => stage.lockstep.follow(path, options as object)
  await assertRefused([
    [follow('/people', { replca: 'a.db' }), /follow has no option "replca"\. Known: .*replica/],
    [follow('/people', 'a.db'), /follow was given the text "a\.db"/],
    [follow('/people', null), /follow was given null/],
    [follow('/people', { maxWaitingChanges: 0 }), /maxWaitingChanges is 0/],
    [follow('/people', { maxWaitingChanges: '9' }), /maxWaitingChanges is the text "9"/],
    [follow('/people', { replica: 5 }), /The replica of follow is 5\. Give the name of a file/],
    [follow('/people', { replica: ['a.db'] }), /The replica of follow is an array/],
    [follow('/people', { replica: {} }), /file of the replica is undefined/],
    [follow('/people', { replica: { file: 'a.db', index: [] } }), /replica of follow has no option "index"/],
    [follow('/people', { replica: { file: 'a.db', indexes: 'a' } }), /indexes is the text "a"/],
    [follow('/people', { replica: { file: 'a.db', indexes: [5] } }), /index 5 cannot be used: it is no text/],
    [
      follow('/people/ann', { replica: { file: 'a.db', indexes: ['a'] } }),
      /one resource, which has no use for indexes/,
    ],
  ])
  assert.equal(existsSync('a.db'), false, 'nothing was made')
})

test('refresh and atLeast refuse options that they do not know or cannot use', async () => {
  await using stage = await open()
  const people = stage.lockstep.follow('/people')
  await people.ready
  const with_ = (options: unknown): readonly (() => unknown)[] => [
    () => people.refresh(options as object),
    () => people.atLeast(people.marker, options as object),
  ]
  for (const [options, text] of [
    [{ timeout: 5 }, /(refresh|atLeast) has no option "timeout"\. Known: timeoutMs/],
    [{ timeoutMs: '5' }, /timeoutMs is the text "5"/],
    [{ timeoutMs: -1 }, /timeoutMs is -1/],
    [{ timeoutMs: Number.NaN }, /timeoutMs is NaN\. Give a whole number/],
    [{ timeoutMs: null }, /timeoutMs is null\. Give a whole number/],
    [null, /(refresh|atLeast) was given null where its options go/],
    [{ timeoutMs: 1e12 }, /timeoutMs is 1000000000000\. Give a whole number from 1 to 2147483647/],
    [5, /(refresh|atLeast) was given 5/],
  ] as const) {
    await assertRefused(with_(options).map(action => [action, text]))
  }
})

test('a marker that says nothing of what is followed is refused rather than waited for', async () => {
  await using stage = await open()
  const people = stage.lockstep.follow('/people')
  await people.ready
  const { seq, epoch } = people.position!
  await people.atLeast('')
  await people.atLeast([])
  await people.atLeast(`aaa:xyz:7,people:${epoch}:${seq}`)
  const wait = (marker: unknown) => () => people.atLeast(marker as string)
  await assertRefused(
    [
      [wait('posts:abc:1'), /"posts:abc:1" names no place in "people", which \/people is in/],
      [wait([{ stream: 'posts', epoch: 'abc', seq: 1 }]), /"posts:abc:1" names no place/],
      [wait(null), /atLeast was given null .*Lockstep-Marker/],
      [wait(7), /atLeast was given 7/],
      [wait([7]), /atLeast was given an array/],
      [wait('people'), /cannot be read/],
    ],
    'invalid-position',
  )
})

test('where refuses what are no conditions', async () => {
  await using stage = await open()
  const people = stage.lockstep.follow('/people') as CollectionFollower<JsonObject>
  await people.ready
  const where = (conditions?: unknown) => () => people.where(conditions as Record<string, string>)
  class Search {}
  await assertRefused([
    [
      where(),
      /where was given undefined.*Give members with their values, such as \{ "address\/city": "Oslo", "age:gte": 18 \}/,
    ],
    [where((person: JsonObject) => person['name']), /where was given a function/],
    [where('ann'), /where was given the text "ann"/],
    [where(null), /where was given null/],
    [where(['name']), /where was given an array/],
    [where(new Map([['name', 'Ann']])), /where was given an object of another kind/],
    [where(new Search()), /where was given an object of another kind/],
    [where({ n: Number.NaN }), /condition "n" is NaN/],
    [where({ n: Number.POSITIVE_INFINITY }), /condition "n" is Infinity/],
    [where({ n: {} }), /condition "n" is an object/],
    [where({ n: [] }), /condition "n" is an array/],
    [where({ n: undefined }), /condition "n" is undefined/],
    [where({ n: () => 1 }), /condition "n" is a function/],
    [where({ n: 1n }), /condition "n" is 1/],
  ])
  assert.deepEqual([...people.where({ name: 'Ann' })].length, 1)
  assert.deepEqual([...people.where(Object.assign(Object.create(null), { name: 'Bob' }))], [])
})

test('connect takes headers as an object or a function, and refuses what else they are', async () => {
  for (const headers of [{ authorization: 'Bearer x' }, () => ({ authorization: 'Bearer x' })]) {
    await using stage = await open({ headers })
    await stage.lockstep.follow('/people').ready
    assert.equal(stage.asked[0]?.get('authorization'), 'Bearer x')
    assert.equal(stage.asked[0]?.get('accept'), 'application/json')
  }
  const with_ = (options: object) => () => connect({ api: 'http://service.test', ...options })
  await assertRefused([
    [with_({ headers: 'Bearer x' }), /headers of connect are no object of names and texts/],
    [with_({ headers: { authorization: 5 } }), /header "authorization" of connect cannot be sent/],
    [with_({ headers: { 'bad name': 'x' } }), /header "bad name" of connect cannot be sent/],
    [with_({ headers: { authorization: 'a\nb' } }), /header "authorization" of connect cannot be sent/],
    [with_({ headers: new Headers() }), /headers of connect are no object/],
    [with_({ timeoutMs: 0 }), /timeoutMs is 0/],
    [with_({ fetch: 'fetch' }), /fetch of connect is the text "fetch"/],
    [with_({ random: 4 }), /random of connect is 4/],
    [with_({ onError: 'x' }), /onError of connect is the text "x"/],
    [with_({ clock: {} }), /clock of connect is an object of another kind/],
  ])
})
