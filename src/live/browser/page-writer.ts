/** Brings what changed into the document, many changes in one write: before the next frame, or soon where none is drawn. */
import { type Written, writeBindings } from './bound-elements.ts'
import type { LiveChange, PageCopy } from './page-copy.ts'
import type { Views } from './views.ts'

/** A page in the background draws no frames. */
const longestDelayMs = 250

export class PageWriter {
  readonly #read: () => PageCopy
  readonly #views: Views | undefined
  readonly #onError: (error: unknown) => void
  #pending = new Map<string, Written>()
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(read: () => PageCopy, views: Views | undefined, onError: (error: unknown) => void) {
    this.#read = read
    this.#views = views
    this.#onError = onError
  }

  /** Writes a change together with those that come in the same moment. */
  add({ path, state, event, changes: patch }: LiveChange): void {
    this.#pending.set(path, { state, isGone: event === 'deleted', patch })
    const write = (): void => this.#write()
    // The patches of what is not held do not make one.
    if (!state && patch) write()
    else if (!this.#timer) {
      this.#timer = setTimeout(write, longestDelayMs)
      requestAnimationFrame(write)
    }
  }

  /** Writes all that the page holds: after a refresh. */
  writeAll(): void {
    this.#pending.clear()
    writeBindings(path => {
      const { state, isGone = false } = this.#read().entries.get(path) ?? {}
      return state || isGone ? { state, isGone } : undefined
    }, this.#onError)
    this.#views?.render(this.#read(), undefined, this.#onError)
  }

  #write(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const pending = this.#pending
    this.#pending = new Map()
    if (!pending.size) return
    writeBindings(path => pending.get(path), this.#onError)
    this.#views?.render(this.#read(), new Set(pending.keys()), this.#onError)
  }
}
