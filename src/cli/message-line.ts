/** One message, head or foreign text as a line for people: when, where, what, and what changed. */
import { type Head, type JsonObject, type Message, quote } from 'lockstep/contract'
import { formatJsonLine, type Paint, printable, type Style } from './terminal.ts'
import { cut, widthOf } from './text-width.ts'

export interface LineOptions {
  readonly paint: Paint
  /** The longest line, in columns. */
  readonly width: number
  /** Columns for the topic, so that what follows stands in line; longer ones take what they need. @default 0 */
  readonly topicWidth?: number
  /** Milliseconds since 1970: when it was heard, for what does not say when it was made. */
  readonly nowMs: number
}

const eventStyles: Readonly<Record<Message['event'], Style>> = {
  created: 'green',
  modified: 'yellow',
  deleted: 'red',
  reset: 'magenta',
}

export function formatMessageLine(topic: string, message: Message, options: LineOptions): string {
  const { paint } = options
  const version = message.event === 'reset' ? '' : ` v${message.version}`
  const head = `${formatTime(message.time, options.nowMs)}  ${padTopic(topic, options)}  `
  const left = options.width - widthOf(head) - message.event.length - version.length - 2
  const content = cut(describeContent(message), left)
  const event = paint(eventStyles[message.event], message.event)
  return `${paint('dim', head.slice(0, 14))}${head.slice(14)}${event}${paint('dim', version)}${content === '' ? '' : `  ${content}`}`
}

export function formatHeadLine(topic: string, head: Head, options: LineOptions): string {
  const text = `head ${printable(head.epoch)}:${head.seq}, held from ${head.first}`
  return options.paint('dim', `${formatTime(head.time, options.nowMs)}  ${padTopic(topic, options)}  ${text}`)
}

/** What is no message of Lockstep: shown, since it passes here too. */
export function formatForeignLine(topic: string, payload: string, options: LineOptions): string {
  const { paint, nowMs, width } = options
  const head = `${formatTime(undefined, nowMs)}  ${padTopic(topic, options)}  `
  const content = cut(`no Lockstep message: ${quote(payload, width)}`, width - widthOf(head))
  return paint('dim', `${head}${content}`)
}

function padTopic(topic: string, { topicWidth = 0 }: LineOptions): string {
  return printable(topic).padEnd(topicWidth)
}

/** 12:00:00.123, by the clock of this machine's place. */
export function formatTime(time: string | undefined, nowMs: number): string {
  const parsed = time === undefined ? Number.NaN : Date.parse(time)
  const date = new Date(Number.isNaN(parsed) ? nowMs : parsed)
  const two = (value: number): string => String(value).padStart(2, '0')
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':')
  return `${clock}.${String(date.getMilliseconds()).padStart(3, '0')}`
}

function describeContent(message: Message): string {
  if (message.event === 'deleted') return ''
  if (message.event === 'reset') return 'take a new baseline'
  if (message.ref === true) return '(too large for the broker: fetch it)'
  const changes: JsonObject | undefined = message.event === 'modified' ? message.changes : undefined
  return formatJsonLine(changes ?? message.state)
}
