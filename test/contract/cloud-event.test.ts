import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  formatResetMessage,
  type Message,
  parseMessage,
  toCloudEventAttributes,
} from '../../src/contract/index.ts'

test("a message's attributes are its own: stream, event, resource, time", () => {
  const message: Message = {
    event: 'modified',
    changes: {},
    resource: '/people/johndoe/friends/2',
    version: 2,
    time: '2026-01-31T12:00:00.000Z',
    cause: 'not among them',
    id: 'people:k3f9:1042',
  }
  assert.deepEqual(toCloudEventAttributes(message), {
    specversion: '1.0',
    id: 'people:k3f9:1042',
    source: '/people',
    type: 'lockstep.modified',
    subject: '/people/johndoe/friends/2',
    time: '2026-01-31T12:00:00.000Z',
  })
})

test('a reset is an event of its stream; a time that is missing is left out', () => {
  const position = { stream: 'people', epoch: 'k3f9', seq: 7 }
  const reset = parseMessage(formatResetMessage(position, '2026-01-31T12:00:00.000Z'))!
  const { time: _time, ...timeless } = reset
  const attributes = toCloudEventAttributes(timeless as Message)
  assert.deepEqual(attributes, {
    specversion: '1.0',
    id: 'people:k3f9:7',
    source: '/people',
    type: 'lockstep.reset',
    subject: '/people',
  })
})
