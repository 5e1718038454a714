import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { errorCodes, isLockstepError, LockstepError, quote, toProblem } from 'lockstep/contract'
import { readSources } from '../source-tree.ts'

const document = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8')

test('docs/errors.md describes each code, and no other, with its status and whether to try again', () => {
  const described = [...document.matchAll(/^### `([a-z-]+)`\n\n(\d{3}) · (try again|do not try again)$/gm)]
  const entries = described.map(([, code, status, retry]) => [code, Number(status), retry === 'try again'])
  const table = Object.entries(errorCodes).map(([code, { status, retry }]) => [code, status, retry])
  assert.deepEqual(entries, table)
  assert.equal(document.match(/^### /gm)?.length, table.length)
})

test('each entry of docs/errors.md says what the code means, when it comes and what to do', () => {
  for (const section of document.split(/^### /m).slice(1)) {
    const [code, ...text] = section.split('\n')
    for (const label of ['**When.**', '**What to do.**'])
      assert.ok(text.join('\n').includes(label), `${code}: ${label}`)
  }
})

test('each code is thrown somewhere, and the table fits HTTP', () => {
  const sources = readSources('src').filter(source => source.path !== 'src/contract/error.ts')
  for (const [code, { status, retry, title }] of Object.entries(errorCodes)) {
    assert.ok(status >= 400 && status < 600, code)
    assert.ok(title.length > 0 && !title.endsWith('.'), code)
    if (retry)
      assert.ok([408, 409, 429, 503, 504].includes(status), `${code}: ${status} does not invite another try`)
    assert.ok(
      sources.some(source => source.text.includes(`'${code}'`)),
      `${code} is never used`,
    )
  }
})

test('an error has its code, its message, its cause and its faults', () => {
  const cause = new Error('inner')
  const error = new LockstepError('invalid-state', 'No.', {
    cause,
    faults: [{ pointer: '/a', detail: 'must be a text' }],
  })
  assert.ok(error instanceof Error)
  assert.deepEqual(
    [error.name, error.code, error.message, error.cause],
    ['LockstepError', 'invalid-state', 'No.', cause],
  )
  assert.ok(isLockstepError(error))
  assert.ok(isLockstepError(error, 'invalid-state'))
  assert.equal(isLockstepError(error, 'gone'), false)
  assert.equal(isLockstepError(cause), false)
  assert.equal('cause' in new LockstepError('gone', 'Gone.'), false)
})

test('an error that is printed shows its code, and faults only where there are some', () => {
  const shown = inspect(new LockstepError('port-taken', 'Port 1883 is taken.'))
  assert.match(shown, /Port 1883 is taken\./)
  assert.match(shown, /code: 'port-taken'/)
  assert.doesNotMatch(shown, /faults|extra/)
  const faults = [{ pointer: '/a', detail: 'must be a text' }]
  assert.match(inspect(new LockstepError('invalid-state', 'No.', { faults })), /must be a text/)
})

test('a problem document carries code, status, faults and further members; a foreign error shows nothing of itself', () => {
  const faults = [{ pointer: '/a', detail: 'must be a text' }]
  assert.deepEqual(
    toProblem(new LockstepError('invalid-state', 'No.', { faults, extra: { marker: 'people:k3f9:1' } })),
    {
      title: errorCodes['invalid-state'].title,
      status: 422,
      code: 'invalid-state',
      detail: 'No.',
      faults,
      marker: 'people:k3f9:1',
    },
  )
  for (const foreign of [
    new Error('secret'),
    'secret',
    undefined,
    null,
    { code: 'gone', message: 'secret' },
  ]) {
    const problem = toProblem(foreign)
    assert.deepEqual([problem.status, problem.code], [500, 'internal'])
    assert.doesNotMatch(JSON.stringify(problem), /secret/)
  }
})

test('a quoted value is one short line of visible characters, and any value can be quoted', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 30 }), fc.nat({ max: 30 }), (text, maxLength) => {
      const quoted = quote(text, maxLength)
      assert.ok(quoted.length <= 6 * maxLength + 3)
      assert.doesNotMatch(quoted, /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\ud800-\udfff]/v)
      if (text.length <= maxLength) assert.equal(JSON.parse(quoted), text.toWellFormed())
    }),
    { numRuns: 1000 },
  )
  assert.equal(quote('\u009b31m\u202eabc\ufeff\ud800'), '"\\u009b31m\\u202eabc\\ufeff\ufffd"')
  const failing = { toString: () => assert.fail('no text') }
  for (const value of [undefined, null, 5n, Symbol('a'), {}, Object.create(null), failing, () => 0])
    assert.match(quote(value), /^".+"$/)
})
