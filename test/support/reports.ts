/** Collects what is reported to `onError`, and waits for it. */
import { isLockstepError } from '../../src/contract/index.ts'

export interface Report {
  readonly stage: string
  /** The error's code; `''` where it has none. */
  readonly code: string
  readonly text: string
}

export class Reports {
  readonly all: Report[] = []
  #waiting: (() => void)[] = []

  readonly onError = (error: unknown, context: { readonly stage: string }): void => {
    const code = isLockstepError(error) ? error.code : ''
    this.all.push({
      stage: context.stage,
      code,
      text: error instanceof Error ? error.message : String(error),
    })
    const waiting = this.#waiting
    this.#waiting = []
    for (const wake of waiting) wake()
  }

  /** The first report that fits, as soon as there is one. */
  async find(fits: (report: Report) => boolean): Promise<Report> {
    for (;;) {
      const found = this.all.find(fits)
      if (found !== undefined) return found
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    }
  }

  stage(stage: string): Promise<Report> {
    return this.find(report => report.stage === stage)
  }
}
