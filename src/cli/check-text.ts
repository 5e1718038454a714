/** The report of `lockstep check` for people: a line for each check, what was wrong below it, and the sum. */
import type { CheckReport, CheckResult } from 'lockstep/check'
import { type Paint, printable } from './terminal.ts'

const signs = { passed: ['green', '✓'], failed: ['red', '✗'], skipped: ['dim', '–'] } as const
const idWidth = 20

export function formatResult({ id, rule, title, status, note, faults }: CheckResult, paint: Paint): string {
  const [style, sign] = signs[status]
  const remark = note === '' ? '' : paint('dim', ` (${printable(note)})`)
  const line = `${paint(style, sign)} ${id.padEnd(idWidth)} ${title}${remark}`
  if (status !== 'failed') return line
  const indent = ' '.repeat(idWidth + 3)
  return [
    line,
    ...faults.map(fault => `${indent}${printable(fault)}`),
    `${indent}${paint('bold', '→')} PROTOCOL.md ${rule.replaceAll(' ', ', ')}`,
  ].join('\n')
}

export function formatSummary({ ok, passed, failed, skipped, tookMs }: CheckReport, paint: Paint): string {
  const counts = `${passed} passed, ${failed} failed, ${skipped} skipped, in ${(tookMs / 1_000).toFixed(1)} s`
  return ok
    ? `${paint('green', 'It keeps the protocol:')} ${counts}.`
    : `${paint('red', 'It does not keep the protocol:')} ${counts}.`
}

export function listChecks(
  checks: readonly { id: string; rule: string; title: string }[],
  paint: Paint,
): string {
  return checks
    .map(
      ({ id, rule, title }) =>
        `${id.padEnd(idWidth)} ${title} ${paint('dim', `(${rule.replaceAll(' ', ', ')})`)}`,
    )
    .join('\n')
}
