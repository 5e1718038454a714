/** What the commands know of the terminal that they print to. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { isScreen, printable, terminalSize } from '../../src/cli/terminal.ts'

test('a terminal that does not say its size, as over a serial line, has 80 columns and 24 rows', () => {
  assert.deepEqual(terminalSize({ columns: 0, rows: 0 }), { columns: 80, rows: 24 })
  assert.deepEqual(terminalSize({}), { columns: 80, rows: 24 })
  assert.deepEqual(terminalSize({ columns: 120, rows: 50 }), { columns: 120, rows: 50 })
})

test('only a terminal that can move its cursor is changed in place', t => {
  setTerm(t, 'xterm')
  assert.equal(isScreen({ isTTY: true }), true)
  assert.equal(isScreen({}), false)
  setTerm(t, 'dumb')
  assert.equal(isScreen({ isTTY: true }), false)
})

test('foreign text cannot steer the terminal', () => {
  assert.equal(printable('a\u001b[2J\u202e\n'), 'a\\u001b[2J\\u202e\\u000a')
})

function setTerm(t: TestContext, value: string): void {
  const before = process.env['TERM']
  process.env['TERM'] = value
  t.after(() => {
    if (before === undefined) delete process.env['TERM']
    else process.env['TERM'] = before
  })
}
