/**
 * What a program hands in: options, and parts such as a log or a broker. A mistake is told at once and in words.
 *
 * It judges kinds and names only; whoever owns an option judges its value.
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
