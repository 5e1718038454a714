/** Who wants to hear of commits. A listener that throws harms neither the write nor the other listeners. */
import type { Head } from '../contract/index.ts'

/** Hears of what failed or was noticed in the background, and where. */
export type OnLogError = (error: Error, context: { readonly stage: string }) => void

export class CommitListeners {
  readonly #listeners = new Set<{ readonly listener: (heads: readonly Head[]) => void }>()
  readonly #onError: OnLogError

  constructor(onError: OnLogError) {
    this.#onError = onError
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
        this.#onError(error instanceof Error ? error : new Error(String(error)), { stage: 'on-commit' })
      }
    }
  }
}

/** Where no one asked to hear of errors, they go where an operator looks. */
export function reportToConsole(error: Error, { stage }: { readonly stage: string }): void {
  console.error(`lockstep log (${stage}):`, error)
}
