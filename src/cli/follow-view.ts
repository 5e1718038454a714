/**
 * What `lockstep follow` shows on a terminal, as lines: a pure function of what is held and of the screen's size.
 *
 * A collection is a table of its resources, a resource a table of its members. What has just changed carries a
 * sign (+ ~ -) and a colour for a moment. Every line fits the screen.
 */
import type { Json, JsonObject } from 'lockstep/contract'
import { type Paint, printable, type Style } from './terminal.ts'
import { alignColumns, cut, fit, widthOf } from './text-width.ts'

export interface FollowedItem {
  readonly id: string
  readonly version: number
  readonly state: JsonObject
  /** What has just happened to it. */
  readonly mark: Mark | undefined
}

export interface Mark {
  readonly event: 'created' | 'modified' | 'deleted'
  /** The members that changed, those that are gone too. */
  readonly names: ReadonlySet<string>
}

export interface FollowView {
  readonly url: string
  readonly kind: 'collection' | 'resource'
  readonly status: 'connecting' | 'catching-up' | 'live' | 'stale' | 'closed'
  /** For how long the copy may have been out of date; `Infinity` where there is none. */
  readonly staleForMs: number
  /** Up to where it holds everything; `''` where there is nothing. */
  readonly position: string
  /** Where changes come from, such as `mqtt://127.0.0.1:1883`. */
  readonly source: string
  /** The resources to show, in order; of a resource, itself or nothing. */
  readonly items: readonly FollowedItem[]
  /** How many resources the collection has. */
  readonly total: number
  /** What happened last. */
  readonly news: string
}

export interface Screen {
  readonly columns: number
  readonly rows: number
  readonly paint: Paint
  /** Milliseconds since 1970. */
  readonly nowMs: number
}

/** Lines that the table does not get: title, status, two empty ones, the news. */
const frameLines = 5
const signs = { created: '+', modified: '~', deleted: '-' } as const
const styles: Readonly<Record<Mark['event'], Style>> = {
  created: 'green',
  modified: ['yellow', 'bold'],
  deleted: ['red', 'strikethrough'],
}
const widestCell = 40
const narrowestCell = 4

export function renderFollowView(view: FollowView, screen: Screen): string[] {
  const { columns, rows, paint } = screen
  const left = Math.max(1, rows - frameLines)
  const table =
    view.kind === 'collection' ? renderTable(view, screen, left) : renderMembers(view, screen, left)
  const lines = [
    paint('bold', cut(view.url, columns)),
    renderStatus(view, screen),
    '',
    ...table,
    '',
    paint('dim', cut(printable(view.news), columns)),
  ]
  return lines.slice(0, rows)
}

/** `live`, `catching up`, or since when the copy is stale. */
export function describeStatus(status: FollowView['status'], staleForMs: number, nowMs: number): string {
  if (status === 'catching-up') return 'catching up'
  if (status !== 'stale') return status
  if (!Number.isFinite(staleForMs)) return 'stale: nothing was received yet'
  return `stale since ${new Date(nowMs - staleForMs).toTimeString().slice(0, 8)} (${Math.round(staleForMs / 1_000)} s)`
}

function renderStatus(view: FollowView, { columns, paint, nowMs }: Screen): string {
  const text = `● ${describeStatus(view.status, view.staleForMs, nowMs)}`
  const count = view.kind === 'collection' ? `${view.total} resource${view.total === 1 ? '' : 's'}` : ''
  const rest = [count, view.position, `over ${view.source}`].filter(part => part !== '').join('  ')
  const style: Style = view.status === 'live' ? 'green' : view.status === 'stale' ? ['red', 'bold'] : 'yellow'
  const shown = cut(text, columns)
  return paint(style, shown) + paint('dim', cut(`  ${rest}`, columns - widthOf(shown)))
}

interface Cell {
  readonly text: string
  readonly isChanged: boolean
}

function renderTable({ items, total, status }: FollowView, screen: Screen, left: number): string[] {
  const { columns, paint } = screen
  if (items.length === 0)
    return [paint('dim', cut(status === 'connecting' ? 'Connecting …' : 'Nothing is in it.', columns))]
  const gone = items.filter(({ mark }) => mark?.event === 'deleted').length
  const all = total + gone
  const room = all > left - 1 ? left - 2 : left - 1
  const shown = items.slice(0, Math.max(1, room))
  const names = [...new Set(shown.flatMap(({ state }) => Object.keys(state)))].filter(name => name !== 'id')
  const cells = shown.map(item => [
    { text: item.id, isChanged: false },
    { text: String(item.version), isChanged: false },
    ...names.map(name => ({
      text: formatCell(Object.hasOwn(item.state, name) ? item.state[name] : undefined),
      isChanged: item.mark?.names.has(name) === true,
    })),
  ])
  const header = ['id', 'v', ...names]
  const texts = [header, ...cells.map(row => row.map(({ text }) => text))]
  let widths = chooseWidths(texts, columns - 2)
  const isCut = widths.length < header.length
  // How many columns are left out needs a place of its own.
  if (isCut) widths = chooseWidths(texts, columns - 7)
  const headLine = header
    .slice(0, widths.length)
    .map((name, index) => fit(printable(name), widths[index]!))
    .join('  ')
  const lines = [
    paint('dim', cut(`  ${headLine}${isCut ? `  +${header.length - widths.length}` : ''}`, columns)),
  ]
  for (const [index, { mark }] of shown.entries()) lines.push(renderRow(cells[index]!, mark, widths, paint))
  const more = all - shown.length
  if (more > 0 && lines.length < left) lines.push(paint('dim', cut(`  … and ${more} more`, columns)))
  return lines
}

function renderRow(
  cells: readonly Cell[],
  mark: Mark | undefined,
  widths: readonly number[],
  paint: Paint,
): string {
  const row = widths.map((width, index) => {
    const { text, isChanged } = cells[index]!
    const shown = cut(printable(text), width)
    const isMarked = mark !== undefined && shown !== '' && (mark.event !== 'modified' || isChanged)
    return (isMarked ? paint(styles[mark.event], shown) : shown) + ' '.repeat(width - widthOf(shown))
  })
  const sign = mark === undefined ? ' ' : paint(styles[mark.event], signs[mark.event])
  return `${sign} ${row.join('  ')}`.trimEnd()
}

function renderMembers({ items: [item], status }: FollowView, screen: Screen, left: number): string[] {
  const { columns, paint } = screen
  if (item === undefined)
    return [paint('dim', cut(status === 'connecting' ? 'Connecting …' : 'It does not exist.', columns))]
  const { mark, state } = item
  const removed = [...(mark?.names ?? [])].filter(name => !Object.hasOwn(state, name))
  const names = [...Object.keys(state), ...removed]
  const values = names.map(name => (Object.hasOwn(state, name) ? formatCell(state[name]) : '(removed)'))
  const lines = alignColumns([
    ['version', String(item.version)],
    ...names.map((name, index) => [printable(name), printable(values[index]!)]),
  ])
  const room = lines.length > left ? left - 1 : left
  const shown = lines.slice(0, room).map((line, index) => {
    const name = names[index - 1]
    const text = cut(line, columns - 2)
    if (name === undefined) return `  ${paint('dim', text)}`
    const isMarked = mark !== undefined && (mark.event !== 'modified' || mark.names.has(name))
    return isMarked ? paint(styles[mark.event], `${signs[mark.event]} ${text}`) : `  ${text}`
  })
  if (lines.length > room) shown.push(paint('dim', cut(`  … and ${lines.length - room} more`, columns)))
  return shown
}

/** Widths of as many columns as fit; each takes what its widest cell needs, up to a bound. */
function chooseWidths(rows: readonly (readonly string[])[], columns: number): number[] {
  const wanted = rows[0]!.map((_, index) =>
    Math.min(widestCell, Math.max(...rows.map(row => widthOf(printable(row[index]!))))),
  )
  const widths: number[] = []
  let left = columns
  for (const width of wanted) {
    const given = Math.min(width, left)
    // A sliver says nothing; the first column is always there.
    if (widths.length > 0 && given < Math.min(width, narrowestCell)) break
    widths.push(Math.max(1, given))
    left -= given + 2
  }
  return widths
}

/** A text as it is, anything else as JSON. */
function formatCell(value: Json | undefined): string {
  if (value === undefined) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}
