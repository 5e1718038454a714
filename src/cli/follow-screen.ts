/**
 * Shows a follower on a terminal and keeps the picture up to date, in place.
 *
 * It draws on the second screen of the terminal, so that what was there before is there again afterwards.
 */
import type { Follower } from 'lockstep/client'
import type { JsonObject } from 'lockstep/contract'
import { formatChangeLine } from './follow-line.ts'
import { createFollowMemory, type HeldCopy, type SeenChange } from './follow-memory.ts'
import { renderFollowView } from './follow-view.ts'
import { paintNothing, paintOut, terminalSize } from './terminal.ts'

export interface ScreenOptions {
  readonly url: string
  readonly kind: 'collection' | 'resource'
  readonly source: string
  readonly follower: Pick<Follower<JsonObject>, 'status' | 'staleForMs' | 'marker' | 'on'>
  readonly copy: HeldCopy
}

export interface FollowScreen {
  /** Shows a problem where the last change is shown. */
  say(text: string): void
  /** Gives the terminal back. Idempotent. */
  close(): void
}

/** Second screen, no cursor, no wrapping of long lines. */
const enter = '\u001b[?1049h\u001b[?25l\u001b[?7l'
const leave = '\u001b[?7h\u001b[?25h\u001b[?1049l'
/** A terminal that knows it shows the whole picture at once. */
const [beginPicture, endPicture] = ['\u001b[?2026h\u001b[H', '\u001b[J\u001b[?2026l']
const frameMs = 50
const clockMs = 1_000

export function openFollowScreen({ url, kind, source, follower, copy }: ScreenOptions): FollowScreen {
  const { stdout } = process
  const memory = createFollowMemory()
  let news = ''
  /** What fails, as long as it does. */
  let problem = ''
  let frame: NodeJS.Timeout | undefined
  let markEnd: NodeJS.Timeout | undefined
  let isClosed = false

  function draw(): void {
    frame = undefined
    if (isClosed) return
    const nowMs = Date.now()
    const { columns, rows } = terminalSize()
    const items = memory.list(copy, rows, nowMs)
    const { status, staleForMs, marker } = follower
    const view = {
      url,
      kind,
      status,
      staleForMs,
      position: marker,
      source,
      items,
      total: copy.states.size,
      news: problem || news,
    }
    const lines = renderFollowView(view, { columns, rows, nowMs, paint: paintOut })
    stdout.write(`${beginPicture}${lines.map(line => `${line}\u001b[K`).join('\r\n')}${endPicture}`)
    clearTimeout(markEnd)
    const endMs = memory.nextEndMs()
    if (endMs !== undefined) markEnd = setTimeout(drawSoon, endMs - nowMs)
  }

  function drawSoon(): void {
    frame ??= setTimeout(draw, frameMs)
  }

  const ends = [
    follower.on('change', change => {
      memory.take(change as SeenChange, Date.now())
      news = formatChangeLine(change, { paint: paintNothing, width: 1_000, nowMs: Date.now() })
      drawSoon()
    }),
    follower.on('status', status => {
      if (status === 'live') problem = ''
      drawSoon()
    }),
  ]
  stdout.on('resize', drawSoon)
  // The age of a stale copy goes on.
  const clock = setInterval(drawSoon, clockMs)
  const close = (): void => {
    if (isClosed) return
    isClosed = true
    for (const end of ends) end()
    clearTimeout(frame)
    clearTimeout(markEnd)
    clearInterval(clock)
    stdout.off('resize', drawSoon)
    stdout.write(leave)
  }
  stdout.write(enter)
  draw()
  // However the process ends, the terminal is given back; and while it is stopped by Ctrl-Z too.
  process.once('exit', close)
  process.on('SIGTSTP', () => {
    stdout.write(leave)
    process.kill(process.pid, 'SIGSTOP')
  })
  process.on('SIGCONT', () => {
    if (!isClosed) stdout.write(enter)
    drawSoon()
  })
  return {
    say(text) {
      problem = text
      drawSoon()
    },
    close,
  }
}
