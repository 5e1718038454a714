/**
 * What the commands print through: colours where a terminal wants them, text that cannot steer it, pipes that close.
 *
 * Results go to standard output, everything that is said about them to standard error.
 */
import { styleText } from 'node:util'

export type Style = Parameters<typeof styleText>[0]
/** Gives the text its style; or the text as it is, where no colours are wanted. */
export type Paint = (style: Style, text: string) => string

/** Colours for standard output: only where it is a terminal and NO_COLOR is unset. */
export const paintOut: Paint = (style, text) => styleText(style, text, { stream: process.stdout })
/** The same for standard error. */
export const paintError: Paint = (style, text) => styleText(style, text, { stream: process.stderr })
export const paintNothing: Paint = (_style, text) => text

/** So large is a terminal that does not say it. */
const plainSize = { columns: 80, rows: 24 }
/** The longest line for what is no terminal. */
const plainWidth = 200

/** The size of the terminal at standard output. */
export function terminalSize(stream: Partial<typeof plainSize> = process.stdout): typeof plainSize {
  return { columns: stream.columns || plainSize.columns, rows: stream.rows || plainSize.rows }
}

/** How long a line of standard output may be. */
export function lineWidth(): number {
  return process.stdout.isTTY ? terminalSize().columns : plainWidth
}

/** Is it a terminal on which something can be changed in place? */
export function isScreen(stream: { readonly isTTY?: boolean }): boolean {
  return stream.isTTY === true && process.env['TERM'] !== 'dumb'
}

/** What a terminal would obey, and what turns the reading direction. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const steering = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g

/** Foreign text, fit for one line of a terminal: what could steer it is escaped as in JSON. */
export function printable(text: string): string {
  return text
    .toWellFormed()
    .replace(steering, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** A value as JSON of one line. It is still the same JSON: only text in quotes can hold what is escaped. */
export function formatJsonLine(value: unknown): string {
  return printable(JSON.stringify(value))
}

/** Prints a line of the result. */
export function printLine(text = ''): void {
  process.stdout.write(`${text}\n`)
}

/** Says something about the result, on standard error. */
export function printNotice(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** Says that something needs attention, while the command goes on. */
export function printWarning(text: string): void {
  printNotice(`${paintError('yellow', '!')} ${text}`)
}

/** Where the reader of our output has gone (`| head`), there is nothing left to do. */
export function endWithBrokenPipe(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
      process.exit(0)
    })
  }
}

/** For a command whose work goes on without a reader. */
export function surviveBrokenPipe(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.removeAllListeners('error')
    stream.on('error', () => {})
  }
}
