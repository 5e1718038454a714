/**
 * A runtime of one seed: time, timers and randomness of the whole process are virtual while it is installed.
 *
 * The real code runs unchanged: `setTimeout`, `setImmediate`, `performance.now`, `Date.now`, `Math.random`,
 * `AbortSignal.timeout` and `crypto.randomBytes` are replaced. One timer runs at a time, then everything that it
 * caused; so the same seed gives the same run, to the byte.
 */
import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import timersPromises from 'node:timers/promises'

export interface Runtime {
  /** Virtual milliseconds since the start. */
  now(): number
  /** A number in [0, 1), for the world's own choices. */
  random(): number
  /** A whole number from `least` to `most`. */
  between(least: number, most: number): number
  chance(probability: number): boolean
  pick<T>(items: readonly T[]): T
  after(delayMs: number, callback: () => void): void
  sleep(delayMs: number): Promise<void>
  /** Runs timers until the time or until `isDone`. */
  run(untilMs: number, isDone?: () => boolean): Promise<void>
  /** Timers that wait now, by where they were set, for finding leaks. */
  readonly waiting: number
  /** Gives the process back its real time. */
  uninstall(): void
}

interface Timer {
  readonly at: number
  readonly serial: number
  callback: (() => void) | undefined
}

const realSetImmediate = setImmediate
/** One for all: to make one costs more than what it ends. */
const tookTooLong = new DOMException('It took too long.', 'TimeoutError')

/** Makes numbers in [0, 1) from a seed (mulberry32). */
export function createRandomNumbers(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

export function installRuntime(seed: number): Runtime {
  const random = createRandomNumbers(seed)
  const inner = createRandomNumbers(seed ^ 0x5bd1e995)
  const heap = new TimerHeap()
  let now = 0
  let serial = 0
  let waiting = 0

  function schedule(callback: () => void, delayMs: number): Timer {
    const timer: Timer = { at: now + Math.max(0, Number(delayMs) || 0), serial: serial++, callback }
    heap.push(timer)
    waiting++
    return timer
  }
  function cancel(timer: unknown): void {
    if (typeof timer !== 'object' || timer === null || (timer as Timer).callback === undefined) return
    ;(timer as Timer).callback = undefined
    waiting--
  }

  const runtime: Runtime = {
    now: () => now,
    random,
    between: (least, most) => least + Math.floor(random() * (most - least + 1)),
    chance: probability => random() < probability,
    pick: items => items[Math.floor(random() * items.length)]!,
    after: (delayMs, callback) => void schedule(callback, delayMs),
    sleep: delayMs => new Promise(resolve => schedule(resolve, delayMs)),
    async run(untilMs, isDone = () => false) {
      await settle()
      for (
        let timer = heap.peek();
        timer !== undefined && timer.at <= untilMs && !isDone();
        timer = heap.peek()
      ) {
        heap.pop()
        const { callback } = timer
        if (callback === undefined) continue
        now = timer.at
        timer.callback = undefined
        waiting--
        callback()
        await settle()
      }
      if (!isDone()) now = Math.max(now, untilMs)
    },
    get waiting() {
      return waiting
    },
    uninstall: () => {},
  }
  const replaced = replaceGlobals({ schedule, cancel, now: () => now, random: inner })
  runtime.uninstall = replaced
  return runtime
}

/** Lets everything that is due happen: promise jobs and Node's own ticks. */
function settle(): Promise<void> {
  return new Promise(resolve => realSetImmediate(resolve))
}

interface Replacements {
  schedule(callback: () => void, delayMs: number): Timer
  cancel(timer: unknown): void
  now(): number
  random(): number
}

function replaceGlobals({ schedule, cancel, now, random }: Replacements): () => void {
  /** Any moment will do; it only shows in the `time` of messages. */
  const startMs = 1_700_000_000_000
  const asTimeout = (timer: Timer): object =>
    Object.assign(timer, { ref: () => timer, unref: () => timer, hasRef: () => false })
  const repeat = (callback: () => void, delayMs: number): object => {
    const handle: Timer = { at: 0, serial: 0, callback: () => {} }
    let timer: Timer
    const again = (): void => {
      timer = schedule(() => {
        callback()
        if (handle.callback !== undefined) again()
      }, delayMs)
    }
    again()
    intervals.set(handle, () => {
      handle.callback = undefined
      cancel(timer)
    })
    return asTimeout(handle)
  }
  const intervals = new Map<object, () => void>()
  const clear = (timer: unknown): void => {
    const stop = intervals.get(timer as object)
    if (stop === undefined) cancel(timer)
    else stop()
    intervals.delete(timer as object)
  }
  const timeoutSignal = (delayMs: number): AbortSignal => {
    const controller = new AbortController()
    schedule(() => controller.abort(tookTooLong), delayMs)
    return controller.signal
  }
  const undo = [
    replace(
      globalThis,
      'setTimeout',
      (callback: (...args: unknown[]) => void, delayMs: number, ...args: unknown[]) =>
        asTimeout(schedule(() => callback(...args), delayMs)),
    ),
    replace(globalThis, 'setImmediate', (callback: (...args: unknown[]) => void, ...args: unknown[]) =>
      asTimeout(schedule(() => callback(...args), 0)),
    ),
    replace(globalThis, 'setInterval', repeat),
    replace(globalThis, 'clearTimeout', clear),
    replace(globalThis, 'clearInterval', clear),
    replace(globalThis, 'clearImmediate', clear),
    replace(performance, 'now', now),
    replace(Date, 'now', () => startMs + Math.floor(now())),
    replace(Math, 'random', random),
    replace(AbortSignal, 'timeout', timeoutSignal),
    replace(
      timersPromises,
      'setTimeout',
      (delayMs: number) => new Promise<void>(resolve => schedule(() => resolve(), delayMs)),
    ),
    replace(crypto, 'randomBytes', (size: number) =>
      Buffer.from(Array.from({ length: size }, () => random() * 256)),
    ),
  ]
  syncBuiltinESMExports()
  return () => {
    for (const restore of undo) restore()
    syncBuiltinESMExports()
  }
}

function replace(target: object, name: string, value: unknown): () => void {
  const before = Object.getOwnPropertyDescriptor(target, name)
  Object.defineProperty(target, name, {
    value,
    configurable: true,
    writable: true,
    enumerable: before?.enumerable ?? false,
  })
  return () => {
    if (before === undefined) Reflect.deleteProperty(target, name)
    else Object.defineProperty(target, name, before)
  }
}

/** The next timer first; of two at the same time, the one that was set first. */
class TimerHeap {
  readonly #items: Timer[] = []

  peek(): Timer | undefined {
    return this.#items[0]
  }

  push(timer: Timer): void {
    const items = this.#items
    let index = items.push(timer) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (isBefore(items[parent]!, timer)) break
      items[index] = items[parent]!
      index = parent
    }
    items[index] = timer
  }

  pop(): void {
    const items = this.#items
    const last = items.pop()
    if (last === undefined || items.length === 0) return
    let index = 0
    for (;;) {
      let child = index * 2 + 1
      if (child >= items.length) break
      if (child + 1 < items.length && isBefore(items[child + 1]!, items[child]!)) child++
      if (isBefore(last, items[child]!)) break
      items[index] = items[child]!
      index = child
    }
    items[index] = last
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.serial < b.serial)
}
