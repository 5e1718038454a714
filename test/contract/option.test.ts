import assert from 'node:assert/strict'
import test from 'node:test'
import { checkMethods, checkOptions, describeValue, isLockstepError } from 'lockstep/contract'

interface Options {
  readonly pageSize?: number
  readonly file?: string
}
const known = { pageSize: true, file: true } as const

const refuses = (check: () => unknown, message: RegExp): void =>
  assert.throws(check, error => {
    assert.ok(isLockstepError(error, 'invalid-option'))
    assert.match(error.message, message)
    return true
  })

test('options that are known pass, also where they are undefined', () => {
  checkOptions<Options>('open', {}, known)
  checkOptions<Options>('open', { pageSize: 3, file: undefined }, known)
  checkOptions<Options>('open', { pagesize: undefined } as Options, known)
})

test('an option that is not known is refused with those that are', () => {
  const misspelt = { pagesize: 3 } as Options
  refuses(
    () => checkOptions<Options>('open', misspelt, known),
    /^open has no option "pagesize"\. Known: pageSize, file\./,
  )
  refuses(() => checkOptions<Options>('open', { toString: 1 } as Options, known), /no option "toString"/)
})

test('what is no object of options is refused, a forgotten await with a hint', () => {
  for (const [value, shown] of [
    [undefined, 'undefined'],
    [null, 'null'],
    ['data.db', 'the text "data.db"'],
    [5, '5'],
    [() => {}, 'a function'],
    [Promise.resolve({}), 'a promise (did you forget await?)'],
  ] as const) {
    assert.equal(describeValue(value), shown)
    const check = (): void => checkOptions<Options>('open', value as unknown as Options, known)
    refuses(check, new RegExp(`open was given ${shown} where its options go`.replaceAll(/[()?.]/g, '\\$&')))
  }
})

test('a part must have its methods', () => {
  checkMethods('The log', { write: () => {}, head: () => {} }, ['write', 'head'], 'Give one.')
  refuses(
    () => checkMethods('The log', Promise.resolve(), ['write'], 'Give one.'),
    /^The log is a promise \(did you forget await\?\)\. Give one\.$/,
  )
  refuses(() => checkMethods('The log', { write: 5 }, ['write'], 'Give one.'), /an object of another kind/)
  refuses(() => checkMethods('The log', [], ['write'], 'Give one.'), /an array/)
  refuses(() => checkMethods('The log', undefined, ['write'], 'Give one.'), /The log is undefined\./)
})
