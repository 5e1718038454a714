/**
 * Draws how changes travel from the log to this page: a line for each, upright when it comes at once, slanted when a gap held it back.
 *
 * The log is heard by an event stream of its own, so that the drawing knows what the page does not know yet.
 */
import { createDiagram, type Travel } from './diagram.ts'
import { follow } from './everywhere.ts'

const shownMs = 40_000
const maxTravels = 2_000

const travels = new Map<number, Travel>()
/** When the connection was cut; `undefined` while it stands. */
let cutAt: number | undefined
const cuts: { readonly from: number; readonly to: number }[] = []
let taken = 0
let wrong = 0
let lastTaken = 0
let missedAtReturn = 0

const element = <E extends Element>(id: string): E => document.querySelector<E>(`#${id}`)!
const cutButton = element<HTMLButtonElement>('cut')
const diagram = createDiagram(element<SVGSVGElement>('diagram'), shownMs)

const page = follow({
  onChange({ position }) {
    const seq = Number(position.split(':')[2])
    if (lastTaken !== 0 && seq !== lastTaken + 1) wrong++
    lastTaken = seq
    taken++
    travelOf(seq).takenAt = Date.now()
  },
  onStatus({ name, changes }) {
    if (name === 'stale' && cutAt !== undefined) tell(`Cut. This page is at ${page.marker}.`)
    if (name === 'live' && missedAtReturn > 0) {
      tell(
        `Connected again with its marker: ${changes} ${changes === 1 ? 'change' : 'changes'} of the gap came, in order.`,
      )
      missedAtReturn = 0
    }
  },
  onRefreshed() {
    lastTaken = placeOf(page.marker)
    for (const travel of travels.values()) if (travel.seq <= lastTaken) travel.takenAt ??= Date.now()
    tell(`A new baseline was taken: this page is at ${page.marker}.`)
  },
})
lastTaken = placeOf(page.marker)

const log = new EventSource('/log/builds')
log.addEventListener('message', ({ lastEventId }) => {
  const travel = travelOf(placeOf(lastEventId))
  travel.loggedAt = Date.now()
})

cutButton.addEventListener('click', () => {
  const isCut = cutAt === undefined
  if (isCut) cutAt = Date.now()
  else {
    missedAtReturn = missing().length
    cuts.push({ from: cutAt!, to: Date.now() })
    cutAt = undefined
  }
  cutButton.textContent = isCut ? 'Connect again' : 'Cut the connection'
  cutButton.setAttribute('aria-pressed', String(isCut))
  // What a browser tells a page that it puts away, and that it brings back: the connection is really closed.
  window.dispatchEvent(new Event(isCut ? 'pagehide' : 'pageshow'))
})

element('anew').addEventListener('click', () => {
  page.refresh().catch(error => tell(`The baseline could not be taken: ${error.message}`))
})

element<HTMLElement>('gap').hidden = false
const isCalm = matchMedia('(prefers-reduced-motion: reduce)')
draw()

function draw(): void {
  const now = Date.now()
  for (const travel of travels.values()) {
    if ((travel.takenAt ?? now) < now - shownMs - 2_000) travels.delete(travel.seq)
  }
  const bands = cutAt === undefined ? cuts : [...cuts, { from: cutAt, to: now }]
  diagram.draw([...travels.values()], bands, now)
  const logged = Math.max(
    lastTaken,
    ...[...travels.values()].filter(({ loggedAt }) => loggedAt).map(({ seq }) => seq),
  )
  write('log-at', `#${logged}`)
  write('page-at', `#${lastTaken}`)
  write('missing', `${Math.max(0, logged - lastTaken)}`)
  write('taken', `${taken}`)
  write('wrong', `${wrong}`)
  if (isCalm.matches || document.hidden) setTimeout(draw, 1_000)
  else requestAnimationFrame(draw)
}

function travelOf(seq: number): Travel {
  let travel = travels.get(seq)
  if (travel === undefined) {
    if (travels.size >= maxTravels) travels.clear()
    travel = { seq, loggedAt: undefined, takenAt: undefined }
    travels.set(seq, travel)
  }
  return travel
}

function missing(): readonly Travel[] {
  return [...travels.values()].filter(({ takenAt }) => takenAt === undefined)
}

function placeOf(position: string): number {
  return Number(position.split(':')[2])
}

function write(id: string, text: string): void {
  const target = element(id)
  if (target.textContent !== text) target.textContent = text
}

function tell(text: string): void {
  const item = document.createElement('li')
  const time = document.createElement('time')
  time.textContent = new Date().toLocaleTimeString()
  item.append(time, ` ${text}`)
  element('events').prepend(item)
  while (element('events').childElementCount > 6) element('events').lastElementChild!.remove()
}
