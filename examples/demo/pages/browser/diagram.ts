/** Two time lines with the changes that travel between them, as SVG. It draws what it is given and keeps nothing. */

/** One change on its way from the log to the page, in ms of the page's clock. */
export interface Travel {
  readonly seq: number
  loggedAt: number | undefined
  takenAt: number | undefined
}

export interface Diagram {
  draw(
    travels: readonly Travel[],
    cuts: readonly { readonly from: number; readonly to: number }[],
    now: number,
  ): void
}

const namespace = 'http://www.w3.org/2000/svg'
const top = 64
const bottom = 236
/** A change that took longer was held back by a gap. */
const lateMs = 700

type Attributes = Readonly<Record<string, string | number>>

/** `longestMs` is what is shown where there is room for it. */
export function createDiagram(svg: SVGSVGElement, longestMs: number): Diagram {
  return {
    draw(travels, cuts, now) {
      const width = svg.clientWidth || 800
      const shownMs = width < 500 ? longestMs / 2 : longestMs
      const right = width - 24
      const x = (time: number): number => right - ((now - time) / shownMs) * (right - 12)
      svg.setAttribute('viewBox', `0 0 ${width} 300`)
      const shapes: SVGElement[] = []
      const add = (name: string, attributes: Attributes, text?: string): void => {
        const shape = document.createElementNS(namespace, name)
        for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, String(value))
        if (text !== undefined) shape.textContent = text
        shapes.push(shape)
      }
      for (const { from, to } of cuts) {
        if (x(to) < 0) continue
        const left = Math.max(0, x(from))
        add('rect', { class: 'cut', x: left, y: bottom - 34, width: x(to) - left, height: 68, rx: 8 })
        if (x(to) - left > 110)
          add('text', { class: 'cut-text', x: left + 12, y: bottom + 24 }, 'no connection')
      }
      for (let seconds = 10; seconds * 1_000 < shownMs; seconds += 10) {
        const at = x(now - seconds * 1_000)
        add('line', { class: 'tick', x1: at, y1: top - 16, x2: at, y2: bottom + 40 })
        add('text', { class: 'tick-text', x: at, y: 292 }, `${seconds} s ago`)
      }
      add('line', { class: 'rail', x1: 0, y1: top, x2: right, y2: top })
      add('line', { class: 'rail', x1: 0, y1: bottom, x2: right, y2: bottom })
      add('text', { class: 'rail-text', x: 0, y: 26 }, 'Change log')
      for (const travel of travels) drawTravel(travel, x, add)
      add('text', { class: 'rail-text', x: 0, y: bottom - 44 }, 'This page')
      svg.replaceChildren(...shapes)
    },
  }
}

function drawTravel(
  { seq, loggedAt, takenAt }: Travel,
  x: (time: number) => number,
  add: (name: string, attributes: Attributes, text?: string) => void,
): void {
  const start = loggedAt ?? takenAt
  if (start === undefined) return
  const from = x(Math.min(start, takenAt ?? start))
  const isLate = takenAt !== undefined && takenAt - start > lateMs
  const kind = takenAt === undefined ? 'lost' : isLate ? 'late' : 'now'
  if (takenAt !== undefined) {
    const to = x(takenAt)
    const middle = (top + bottom) / 2
    add('path', {
      class: `way ${kind}`,
      d: `M${from} ${top} C${from} ${middle} ${to} ${middle} ${to} ${bottom}`,
    })
    add('circle', { class: `dot ${kind}`, cx: to, cy: bottom, r: 5 })
  } else {
    add('line', { class: 'way lost', x1: from, y1: top, x2: from, y2: top + 56 })
  }
  add('circle', { class: `dot ${kind}`, cx: from, cy: top, r: 5 })
  if (seq % 5 === 0) add('text', { class: 'seq', x: from, y: top - 14 }, `#${seq}`)
}
