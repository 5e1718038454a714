/** Those who hear what a follower tells: listeners, and iterators, each with changes of its own that wait. */
import { type JsonObject, LockstepError, type ParsedPath, type ReportError } from '../contract/index.ts'
import type { Change } from './change.ts'
import { type ChangeBuffer, createChangeBuffer } from './change-buffer.ts'
import type { FollowerStatus } from './follower-data.ts'

export interface FollowerEvents<T> {
  change: Change<T>
  status: FollowerStatus
}

export interface HearingOptions {
  readonly onError: ReportError
  readonly maxWaitingChanges?: number | undefined
}

/** Who hears of changes: listeners and iterators. */
export interface Hearing {
  onChange(change: Change<JsonObject>): void
  onStatus(status: FollowerStatus): void
  on<E extends keyof FollowerEvents<JsonObject>>(
    event: E,
    listener: (value: FollowerEvents<JsonObject>[E]) => void,
  ): () => void
  iterate(): AsyncIterator<Change<JsonObject>>
  end(): void
}

export function createHearing(target: ParsedPath, { onError, maxWaitingChanges }: HearingOptions): Hearing {
  type Listener<E extends keyof FollowerEvents<JsonObject>> = (value: FollowerEvents<JsonObject>[E]) => void
  const listeners = { change: new Set<Listener<'change'>>(), status: new Set<Listener<'status'>>() }
  const buffers = new Set<ChangeBuffer<JsonObject>>()
  let isOver = false

  function call<T>(listener: (value: T) => void, value: T): void {
    try {
      listener(value)
    } catch (error) {
      onError(error, { stage: 'listener' })
    }
  }

  return {
    onChange(change) {
      for (const listener of listeners.change) call(listener, change)
      for (const buffer of buffers) buffer.push(change)
    },
    onStatus(status) {
      for (const listener of listeners.status) call(listener, status)
    },
    on(event, listener) {
      const all = listeners[event] as Set<unknown>
      if (all === undefined) {
        throw new LockstepError(
          'invalid-option',
          `A follower has no event "${event}". Listen to change or status.`,
        )
      }
      // One function may listen twice.
      const own = (value: never): void => listener(value)
      all.add(own)
      return () => void all.delete(own)
    },
    iterate() {
      const { path, kind, segments } = target
      const buffer: ChangeBuffer<JsonObject> = createChangeBuffer({
        path,
        id: kind === 'resource' ? segments.at(-1)! : '',
        maxWaiting: maxWaitingChanges,
        onEnd: () => void buffers.delete(buffer),
      })
      buffers.add(buffer)
      if (isOver) buffer.end()
      return buffer
    },
    end() {
      isOver = true
      for (const buffer of [...buffers]) buffer.end()
    },
  }
}
