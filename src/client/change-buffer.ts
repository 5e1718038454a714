/**
 * The changes that wait for an application that iterates over a follower. It is bounded: where the application is
 * too slow, the older half is replaced by one `refreshed`, which says: look at the follower's state.
 */
import { type Change, refreshedAt } from './change.ts'

/** The most changes that wait for one iterator. */
export const maxWaitingChanges = 1_000

export interface ChangeBuffer<T> extends AsyncIterableIterator<Change<T>> {
  push(change: Change<T>): void
  /** What waits is still given; then the iteration ends. */
  end(): void
}

export interface ChangeBufferOptions {
  /** What is followed; names it in a `refreshed`. */
  readonly path: string
  readonly id: string
  /** @default 1_000 */
  readonly maxWaiting?: number
  /** Is called once, when the iteration is over for whatever reason. */
  readonly onEnd: () => void
}

export function createChangeBuffer<T>(options: ChangeBufferOptions): ChangeBuffer<T> {
  const { path, id, onEnd, maxWaiting = maxWaitingChanges } = options
  let waiting: Change<T>[] = []
  let readers: ((result: IteratorResult<Change<T>>) => void)[] = []
  let isOver = false

  const over: IteratorReturnResult<undefined> = { done: true, value: undefined }

  const buffer: ChangeBuffer<T> = {
    push(change) {
      if (isOver) return
      const reader = readers.shift()
      if (reader !== undefined) {
        reader({ done: false, value: change })
        return
      }
      waiting.push(change)
      if (waiting.length <= maxWaiting) return
      const { position } = waiting[waiting.length >> 1]!
      waiting = [refreshedAt({ path, id, position }), ...waiting.slice((waiting.length >> 1) + 1)]
    },

    end() {
      if (isOver) return
      isOver = true
      for (const reader of readers) reader(over)
      readers = []
      onEnd()
    },

    next() {
      const change = waiting.shift()
      if (change !== undefined) return Promise.resolve({ done: false, value: change })
      if (isOver) return Promise.resolve(over)
      return new Promise(resolve => readers.push(resolve))
    },

    return() {
      waiting = []
      buffer.end()
      return Promise.resolve(over)
    },

    [Symbol.asyncIterator]: () => buffer,
  }
  return buffer
}
