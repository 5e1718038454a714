/** Who wants to hear of commits. A listener that throws harms neither the write nor the other listeners. */
import type { Head, ReportError } from '../contract/index.ts'

export class CommitListeners {
  readonly #listeners = new Set<{ readonly listener: (heads: readonly Head[]) => void }>()
  readonly #report: ReportError

  constructor(report: ReportError) {
    this.#report = report
  }

  /** Returns a function that ends it. */
  add(listener: (heads: readonly Head[]) => void): () => void {
    const entry = { listener }
    this.#listeners.add(entry)
    return () => void this.#listeners.delete(entry)
  }

  call(heads: readonly Head[]): void {
    for (const { listener } of this.#listeners) {
      try {
        listener(heads)
      } catch (error) {
        this.#report(error, { stage: 'on-commit' })
      }
    }
  }
}
