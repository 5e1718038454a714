/** Trace context as W3C Trace Context writes it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatTraceparent, parseTraceparent } from '../../src/contract/trace.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const spanId = '00f067aa0ba902b7'

test('4.11 a traceparent is read and written back unchanged', () => {
  for (const [text, traceFlags] of [
    [`00-${traceId}-${spanId}-01`, 1],
    [`00-${traceId}-${spanId}-00`, 0],
    [`00-${traceId}-${spanId}-ff`, 255],
  ] as const) {
    const context = parseTraceparent(text)
    assert.deepEqual(context, { traceId, spanId, traceFlags })
    assert.equal(formatTraceparent(context), text)
  }
})

test('what is no traceparent is none: other versions, zeros, capitals, what is too short or too long', () => {
  for (const text of [
    undefined,
    '',
    'q3f7',
    `01-${traceId}-${spanId}-01`,
    `ff-${traceId}-${spanId}-01`,
    `00-${'0'.repeat(32)}-${spanId}-01`,
    `00-${traceId}-${'0'.repeat(16)}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${traceId}-${spanId}-1`,
    `00-${traceId}-${spanId}-01-more`,
    ` 00-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-01\n`,
  ])
    assert.equal(parseTraceparent(text), undefined, text)
})

test('a context that is not valid, as of a span that records nothing, has no traceparent', () => {
  assert.equal(formatTraceparent(undefined), undefined)
  assert.equal(
    formatTraceparent({ traceId: '0'.repeat(32), spanId: '0'.repeat(16), traceFlags: 0 }),
    undefined,
  )
  assert.equal(formatTraceparent({ traceId: 'no', spanId, traceFlags: 1 }), undefined)
})
