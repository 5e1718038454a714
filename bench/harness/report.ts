/** The answer to a question: as data for a file, and as Markdown for people. */
import type { Machine } from './machine.ts'
import type { Claim, Column, Prepared, Question, Round } from './question.ts'
import type { Measured } from './rounds.ts'
import { type Summary, summarize } from './summary.ts'

/** `within noise`: some rounds said the other. */
export type Verdict = 'met' | 'met, within noise' | 'missed' | 'missed, within noise' | 'not measured'

export interface ClaimAnswer {
  readonly text: string
  readonly target: Claim['target']
  readonly unit: string
  readonly digits: number
  readonly value: Summary | undefined
  readonly verdict: Verdict
}

export interface Answer {
  readonly question: string
  readonly title: string
  readonly quick: boolean
  readonly machine: Machine
  readonly columns: readonly Column[]
  readonly rounds: readonly Round[]
  /** The share of the processors that others used, between the measurements. */
  readonly busy: Summary
  readonly variants: readonly { readonly name: string; readonly figures: Readonly<Record<string, Summary>> }[]
  readonly claims: readonly ClaimAnswer[]
  readonly notes: readonly string[]
}

/** Sums up the rounds and judges the claims. */
export function createAnswer(
  { name: question, title }: Question,
  { columns, variants, claims, notes }: Prepared,
  { rounds, busy }: Measured,
  { machine, quick }: { machine: Machine; quick: boolean },
): Answer {
  return {
    question,
    title,
    quick,
    machine,
    columns,
    rounds,
    busy: summarize(busy),
    variants: variants.map(({ name }) => ({ name, figures: summarizeFigures(name, columns, rounds) })),
    claims: claims.map(claim => judge(claim, rounds)),
    notes,
  }
}

function summarizeFigures(
  variant: string,
  columns: readonly Column[],
  rounds: readonly Round[],
): Record<string, Summary> {
  const figures: Record<string, Summary> = {}
  for (const { figure } of columns) {
    const values = rounds.map(round => round[variant]?.[figure]).filter(value => value !== undefined)
    if (values.length > 0) figures[figure] = summarize(values)
  }
  return figures
}

function judge(
  { text, target, unit = '×', digits = 2, value }: Claim,
  rounds: readonly Round[],
): ClaimAnswer {
  const values = rounds.map(value).filter(one => one !== undefined)
  const answer = { text, target, unit, digits }
  if (values.length === 0) return { ...answer, value: undefined, verdict: 'not measured' }
  const summary = summarize(values)
  const isMet = (one: number): boolean => ('atLeast' in target ? one >= target.atLeast : one <= target.atMost)
  const verdict = isMet(summary.median) ? 'met' : 'missed'
  const isSure = isMet(summary.min) === isMet(summary.max)
  return { ...answer, value: summary, verdict: isSure ? verdict : `${verdict}, within noise` }
}

/** Markdown: the figures, the claims, and what they depend on. */
export function formatAnswer(answer: Answer): string {
  const { title, columns, variants, claims, notes, quick, rounds } = answer
  const rows = variants.map(({ name, figures }) => [
    name,
    ...columns.map(({ figure, digits = 0 }) => formatSummary(figures[figure], digits)),
  ])
  const verdicts = claims.map(({ text, value, target, unit, digits, verdict }) => [
    text,
    value === undefined ? '–' : `${formatSummary(value, digits)} ${unit}`,
    `${formatTarget(target)} ${unit}`,
    verdict,
  ])
  const parts = [
    `### ${title}`,
    formatTable(['', ...columns.map(column => column.title)], rows),
    ...(claims.length > 0
      ? [formatTable(['compared within each round', 'value', 'target', 'verdict'], verdicts)]
      : []),
    `${quick ? 'QUICK RUN, too short to be quoted. ' : ''}${rounds.length === 1 ? 'One round.' : `Medians of ${rounds.length} interleaved rounds (lowest–highest).`} ${notes.join(' ')}`,
    formatMachine(answer),
  ]
  return `${parts.join('\n\n')}\n`
}

function formatSummary(summary: Summary | undefined, digits: number): string {
  if (summary === undefined) return '–'
  const { median, min, max, values } = summary
  const format = (value: number): string => formatNumber(value, digits)
  return values.length === 1 ? format(median) : `${format(median)} (${format(min)}–${format(max)})`
}

/** At most four significant digits: more would be noise. */
function formatNumber(value: number, digits: number): string {
  const rounded = Math.abs(value) >= 10_000 ? Number(value.toPrecision(3)) : value
  return rounded.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

function formatTarget(target: Claim['target']): string {
  return 'atLeast' in target
    ? `≥ ${target.atLeast.toLocaleString('en-US')}`
    : `≤ ${target.atMost.toLocaleString('en-US')}`
}

function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map(row => row[column]!.length), 3))
  const format = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join(' | ')} |`
  const line = `|${widths.map((width, column) => (column === 0 ? `:${'-'.repeat(width + 1)}` : `${'-'.repeat(width + 1)}:`)).join('|')}|`
  return [format(head), line, ...rows.map(format)].join('\n')
}

function formatMachine({ machine, busy }: Answer): string {
  const { date, cpu, cores, memoryGib, system, node, sqlite, versions, pinned, fdatasyncUs } = machine
  const percent = (share: number): number => Math.round(share * 100)
  const all = Object.entries({ node: node.slice(1), sqlite, ...versions })
  return [
    `${date.slice(0, 10)}, ${cpu}, ${cores} cores, ${memoryGib} GiB, ${system};`,
    pinned ? 'server on core 0, load and brokers on core 1;' : 'processes not pinned to cores;',
    `4 KiB write + fdatasync ${fdatasyncUs} µs; others used ${percent(busy.median)} % (${percent(busy.min)}–${percent(busy.max)} %) of the processors.`,
    `${all.map(([name, version]) => `${name} ${version}`).join(', ')}.`,
  ].join(' ')
}
