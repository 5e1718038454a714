/** One check of `lockstep doctor`: what was looked at, how it stands, and what to do next. */
import type { Paint } from './terminal.ts'

export interface Check {
  readonly name: string
  /** `skipped` where it could not be looked at; only `failed` makes the command fail. */
  readonly status: 'ok' | 'failed' | 'skipped'
  readonly detail: string
  /** What to do next, where something is not as it should be. */
  readonly next?: string
}

const signs = { ok: ['green', '✓'], failed: ['red', '✗'], skipped: ['dim', '–'] } as const
const nameWidth = 14

/** A line for people, with a second one for what to do next. */
export function formatCheck({ name, status, detail, next }: Check, paint: Paint): string {
  const [style, sign] = signs[status]
  const line = `${paint(style, sign)} ${name.padEnd(nameWidth)} ${detail}`
  return next === undefined ? line : `${line}\n  ${' '.repeat(nameWidth)} ${paint('bold', '→')} ${next}`
}
