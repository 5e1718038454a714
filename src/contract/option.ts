/**
 * What a program hands in: options, and parts such as a log or a broker. A mistake is told at once and in words.
 *
 * It judges kinds, names and whole numbers; whoever owns an option judges what else its value must be.
 */
import { LockstepError, quote } from './error.ts'

/** Every name of the options, so that the compiler asks for a new one here too. */
export type OptionNames<Options> = Readonly<Record<keyof Options, true>>

/** Refuses what is no object of options, and options that are not known. Errors: `invalid-option`. */
export function checkOptions<Options extends object>(
  where: string,
  options: Options,
  known: OptionNames<Options>,
): void {
  const names = Object.keys(known).join(', ')
  if (typeof options !== 'object' || options === null || isPromise(options)) {
    throw new LockstepError(
      'invalid-option',
      `${where} was given ${describeValue(options)} where its options go. Give an object of: ${names}.`,
    )
  }
  const unknown = Object.entries(options).find(
    ([name, value]) => value !== undefined && !Object.hasOwn(known, name),
  )
  if (unknown === undefined) return
  throw new LockstepError(
    'invalid-option',
    `${where} has no option ${quote(unknown[0])}. Known: ${names}. Correct or remove it.`,
  )
}

/**
 * Refuses what has not all the methods, which may be a text, nothing at all, or a promise that nobody awaited. `advice` says what to give.
 * Errors: `invalid-option`.
 */
export function checkMethods(
  where: string,
  value: unknown,
  methods: readonly string[],
  advice: string,
): void {
  const isObject = typeof value === 'object' && value !== null
  if (isObject && methods.every(name => typeof (value as Record<string, unknown>)[name] === 'function'))
    return
  throw new LockstepError('invalid-option', `${where} is ${describeValue(value)}. ${advice}`)
}

/** The longest time in milliseconds that a timer can wait: over it, it would not wait at all. */
export const maxTimerMs = 2_147_483_647

export interface CountLimits {
  /** @default 1 */
  readonly min?: number
  /** @default Number.MAX_SAFE_INTEGER */
  readonly max?: number
}

/** Gives the value of an option that is a whole number within limits. Errors: `invalid-option`. */
export function checkCount(name: string, value: number, { min = 1, max }: CountLimits = {}): number {
  if (Number.isSafeInteger(value) && value >= min && value <= (max ?? value)) return value
  const range = max === undefined ? `${min} up` : `${min} to ${max}`
  throw new LockstepError(
    'invalid-option',
    `${name} is ${describeValue(value)}. Give a whole number from ${range}.`,
  )
}

/** Says in words what a value is that was expected to be something else. */
export function describeValue(value: unknown): string {
  if (isPromise(value)) return 'a promise (did you forget await?)'
  if (typeof value === 'string') return `the text ${quote(value)}`
  if (typeof value === 'function') return 'a function'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object' && value !== null) return 'an object of another kind'
  return String(value)
}

function isPromise(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}
