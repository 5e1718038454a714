/** A change of a followed copy as a line: for people, and as JSON. */
import type { Change } from 'lockstep/client'
import type { Json, JsonObject } from 'lockstep/contract'
import type { LineOptions } from './message-line.ts'
import { formatTime } from './message-line.ts'
import { formatJsonLine, type Style } from './terminal.ts'
import { cut } from './text-width.ts'

const styles: Readonly<Record<Change<JsonObject>['event'], Style>> = {
  created: 'green',
  modified: 'yellow',
  deleted: 'red',
  refreshed: 'cyan',
}

/** `held` says of a new copy what is in it. */
export function formatChangeLine(
  change: Change<JsonObject>,
  { paint, width, nowMs, held = '' }: LineOptions & { readonly held?: string },
): string {
  const { event, path, version } = change
  const time = formatTime(undefined, nowMs)
  const what = event === 'refreshed' ? path : `${path}  v${version}`
  const used = time.length + event.length + what.length + 6
  const content = cut(describeContent(change, held), width - used)
  return `${paint('dim', time)}  ${paint(styles[event], event)}  ${what}${content === '' ? '' : `  ${content}`}`
}

/** The JSON of one line; `refreshed` carries the whole copy, `null` for a resource that does not exist. */
export function formatChangeJson(change: Change<JsonObject>, whole: () => Json): string {
  const { event, path, id, version, changes, cause, position } = change
  const state = event === 'refreshed' ? whole() : change.state
  return formatJsonLine({ event, path, id, version, state, changes, cause, position })
}

function describeContent(change: Change<JsonObject>, held: string): string {
  if (change.event === 'deleted') return ''
  if (change.event === 'refreshed') return held === '' ? change.position : `${change.position}  ${held}`
  const changes = change.event === 'modified' ? change.changes : undefined
  return formatJsonLine(changes ?? change.state)
}
