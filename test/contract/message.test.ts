import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import {
  type CreatedMessage,
  completeMessage,
  formatHead,
  formatOpenMessage,
  formatPath,
  formatRefMessage,
  formatResetMessage,
  type JsonObject,
  parseHead,
  parseMessage,
  parsePosition,
  type UnnumberedChange,
} from 'lockstep/contract'
import { readCases, resultOf, titleOf } from '../support/cases.ts'

test('messages and heads are written and read as the cases say', () => {
  for (const entry of readCases('messages')) {
    const title = titleOf(entry)
    const { change, position, message, text, event, head, error, ...rest } = entry as {
      change?: UnnumberedChange
      position: string
      message: string
      text?: string
      event: string | null
      head: string
      error?: string
      about?: string
    }
    if (change !== undefined) {
      assert.equal(completeMessage(formatOpenMessage(change), parsePosition(position)), message, title)
      assert.deepEqual(parseMessage(message), JSON.parse(message), title)
    } else if (text !== undefined) {
      const result = resultOf(() => parseMessage(text))
      if (error !== undefined) assert.deepEqual(result, { error }, title)
      else if (event === null) assert.equal(result, undefined, title)
      else assert.deepEqual({ event, ...(JSON.parse(text) as object) }, result, title)
    } else {
      const { about: _, ...expected } = rest
      const result = resultOf(() => parseHead(head))
      if (error !== undefined) assert.deepEqual(result, { error }, title)
      else assert.deepEqual({ ...result, ...expected }, JSON.parse(head), title)
    }
  }
})

test('a change that is written is read as it was, whatever its state, id and cause', () => {
  const ids = fc
    .string({ unit: 'grapheme', minLength: 1 })
    .filter(id => !('error' in resultOf(() => formatPath(['people', id]))))
  fc.assert(
    fc.property(
      ids,
      fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 }),
      fc.string({ unit: 'binary' }),
      (id, state, cause) => {
        const { path } = formatPath(['people', id])
        const stateText = JSON.stringify(state)
        const time = '2026-01-02T03:04:05.678Z'
        const open = formatOpenMessage({
          event: 'created',
          resource: path,
          version: 1,
          time,
          stateText,
          cause,
        })
        const message = parseMessage(completeMessage(open, { stream: 'people', epoch: 'k3f9', seq: 7 }))
        const expected = {
          event: 'created',
          state: JSON.parse(stateText),
          resource: path,
          version: 1,
          time,
          cause,
          id: 'people:k3f9:7',
        }
        assert.deepEqual(message, expected)
      },
    ),
  )
})

test('a message too large for the broker keeps its envelope and asks to be fetched', () => {
  const message = parseMessage(
    '{"event":"modified","state":{"a":1},"resource":"/people/1","version":2,"cause":"r1","more":1,"id":"people:k3f9:2"}',
  ) as CreatedMessage
  const ref = JSON.parse(formatRefMessage(message)) as JsonObject
  assert.deepEqual(ref, {
    event: 'modified',
    resource: '/people/1',
    version: 2,
    cause: 'r1',
    more: 1,
    id: 'people:k3f9:2',
    ref: true,
  })
  assert.deepEqual(parseMessage(formatRefMessage(message)), ref)
})

test('a reset and a head that are written are read as they were', () => {
  const time = '2026-01-02T03:04:05.678Z'
  const position = { stream: 'people', epoch: 'k3f9', seq: 1042 }
  const reset = { event: 'reset', resource: '/people', time, id: 'people:k3f9:1042' }
  assert.deepEqual(parseMessage(formatResetMessage(position, time)), reset)
  const head = { ...position, first: 40, time }
  assert.deepEqual(parseHead(formatHead(head)), head)
})

test('a refusal shows the message shortened', () => {
  const text = JSON.stringify({
    event: 'deleted',
    id: 'people:k3f9:1',
    resource: '/people/1',
    filler: 'x'.repeat(1_000_000),
  })
  assert.throws(
    () => parseMessage(text),
    error => (error as Error).message.length < 200,
  )
})
