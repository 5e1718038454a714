/** Pages of the public: a bridge that takes what a service shows the public, over its feed and over its topics. PROTOCOL.md §9, §13. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMemoryHub } from '../../src/broker/memory.ts'
import { applyMergePatch, type Json, type JsonObject } from '../../src/contract/index.ts'
import { defineResource } from '../../src/service/resource.ts'
import { openTestBridge } from '../live/live-setup.ts'
import { connectSocket, hello, messagesOf } from '../live/page-client.ts'
import { askOver, openTestService } from '../support/service.ts'

const notes = defineResource('notes', {
  schema: {
    type: 'object',
    properties: {
      text: { type: 'string' },
      status: { enum: ['open', 'draft'] },
      secret: { type: 'integer' },
    },
  },
  public: { fields: ['text', 'status'], where: { status: 'open' } },
})

for (const kind of ['feed', 'topics'] as const) {
  test(`a page of the public is kept live over the ${kind}, and hears of nothing that is hidden`, async () => {
    const hub = createMemoryHub()
    await using api = await openTestService({
      resources: [notes],
      broker: hub.connect(),
      publicTopicPrefix: 'public/',
      relay: { headEveryMs: 200 },
    })
    const see = (path: string) => askOver(api.service.public.fetch, `http://service.test${path}`, 'GET')
    await api.ask('PUT', '/notes/1', { body: { text: 'first', status: 'open', secret: 1 } })
    const before = await see('/notes')
    const broker = kind === 'topics' ? { broker: hub.connect() } : {}
    await using bridge = await openTestBridge({
      sources: [{ api: api.service.public, streams: ['notes'], ...broker }],
      access: 'public',
    })
    await using page = await connectSocket(
      bridge.url,
      hello(['/notes'], before.headers.get('lockstep-marker')!),
    )
    await page.type('live')
    for (let round = 0; round < 4; round++) {
      await api.ask('PATCH', '/notes/1', { body: { secret: round + 10 } })
      await api.ask('PATCH', '/notes/1', { body: { text: `round ${round}`, secret: round + 20 } })
      await api.ask('PUT', '/notes/2', {
        body: { text: `${round}`, status: round % 2 === 0 ? 'open' : 'draft', secret: round },
      })
    }
    await api.ask('PATCH', '/notes/1', { body: { text: 'last' } })
    await page.find(({ messages }) => JSON.stringify(messages ?? []).includes('"last"'))
    const copy = new Map<string, JsonObject>(
      before.json.map((state: JsonObject) => [`/notes/${state['id']}`, state]),
    )
    for (const { resource, event, state, changes } of messagesOf(page.frames)) {
      const path = String(resource)
      if (event === 'deleted') copy.delete(path)
      else copy.set(path, (state ?? applyMergePatch(copy.get(path), changes as Json)) as JsonObject)
    }
    assert.deepEqual([...copy.values()], (await see('/notes')).json)
    assert.doesNotMatch(JSON.stringify(page.frames), /secret|"tx"|"public"/)
  })
}
