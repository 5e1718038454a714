/** Pages, two bridges and the server that renders, as a part of a simulation. */
import { SimBridge } from './bridge.ts'
import type { SimBroker } from './broker.ts'
import type { Ledger } from './ledger.ts'
import type { SimLink } from './network.ts'
import { SimPage } from './page.ts'
import { type PageFaultParts, pageFaultKinds } from './page-faults.ts'
import { type AccessMode, leaseMs, SimPageServer } from './page-server.ts'
import type { Runtime } from './runtime.ts'
import { people, projects, type SimService } from './service.ts'
import { installTabs } from './tab.ts'

export interface LiveWorldParts {
  readonly runtime: Runtime
  readonly service: SimService
  readonly broker: SimBroker
  readonly ledger: Ledger
  readonly tell: (line: string) => void
}

/** What each page shows, and whether it is narrowed. */
const shapes: readonly (readonly [paths: readonly string[], isNarrow: boolean])[] = [
  [['/people', '/projects'], false],
  [['/people/hot', '/people/late', '/projects/late'], false],
  [['/people', '/projects'], true],
]
/** Whoever still waits then goes round in a circle. */
const longestMs = 240_000
/** Of a change where nothing is broken. */
const lastWithinMs = 5_000
const modes: readonly AccessMode[] = ['public', 'tickets', 'authorize', 'both']

export class LiveWorld {
  readonly bridges: readonly SimBridge[]
  readonly pages: SimPage[] = []
  readonly server: SimPageServer
  /** How long after the faults all were right; 0 where one had to wait. */
  convergenceMs = 0
  readonly #parts: LiveWorldParts
  readonly #uninstall: () => void

  constructor(parts: LiveWorldParts) {
    const { runtime, service, ledger } = parts
    this.#parts = parts
    this.#uninstall = installTabs()
    this.server = new SimPageServer(runtime, service, runtime.pick(modes))
    const { access } = this.server
    const onWrite = (audience: string, bytes: Buffer): void => {
      const since = this.server.withdrawn.get(audience) ?? Number.POSITIVE_INFINITY
      const agoMs = runtime.now() - since
      if (!this.server.isAllowed(audience) && agoMs > leaseMs && bytes.includes('"messages":[{'))
        ledger.violations.push(
          `leaked: ${audience} is sent changes ${agoMs} ms after it may no longer see them`,
        )
    }
    this.bridges = ['b0', 'b1'].map(
      name =>
        new SimBridge(name, { ...parts, access, onWrite, source: runtime.chance(0.3) ? 'sse' : 'mqtt' }),
    )
  }

  get links(): readonly SimLink[] {
    return [this.server.link, ...this.bridges.map(({ link }) => link)]
  }

  /** The faults by name, to be chosen from. */
  get faults(): Readonly<Record<string, () => Promise<void>>> {
    const { runtime, broker } = this.#parts
    const { bridges, pages, server } = this
    const parts: PageFaultParts = { runtime, broker, bridges, pages, server }
    return Object.fromEntries(
      Object.entries(pageFaultKinds).map(([name, fault]) => [name, () => fault(parts)]),
    )
  }

  get isRight(): boolean {
    return this.pages.every(page => page.isRight)
  }

  /** Until when the last page waits before it may refresh again. */
  get waitsUntil(): number {
    return Math.max(...this.pages.map(page => page.waitsUntil))
  }

  get steps(): number {
    return this.pages.reduce((sum, { steps }) => sum + steps, 0)
  }

  get refreshes(): number {
    return this.pages.reduce((sum, { refreshes }) => sum + refreshes, 0)
  }

  async start(): Promise<void> {
    const { runtime } = this.#parts
    await Promise.all(this.bridges.map(bridge => bridge.start()))
    for (const [index, [paths, isNarrow]] of shapes.entries()) {
      const page = new SimPage(`p${index}`, {
        ...this.#parts,
        server: this.server,
        bridges: this.bridges,
        paths,
        isNarrow,
      })
      this.pages.push(page)
      void page.open(false)
      await runtime.sleep(runtime.between(0, 300))
    }
  }

  check(): void {
    for (const page of this.pages) page.checkClaim()
    for (const bridge of this.bridges) bridge.check()
  }

  /**
   * After the faults: every page is right in time. One that has refreshed not long ago may have to wait before it does again: it says so, and has its
   * time from there on. Then a last change reaches all of them at once, since nothing is broken any more.
   */
  async settle(byMs: number): Promise<void> {
    const { runtime, service } = this.#parts
    const healedAt = runtime.now()
    const withinMs = byMs - healedAt
    for (let until = byMs; ; ) {
      await runtime.run(until, () => this.isRight)
      until = Math.max(healedAt, this.waitsUntil) + withinMs
      if (this.isRight || runtime.now() >= Math.min(until, healedAt + longestMs)) break
    }
    const isLate = runtime.now() > byMs
    this.convergenceMs = isLate ? 0 : runtime.now() - healedAt
    this.#judge('after the faults')
    // What is half-open by now is found out without anybody's help.
    await runtime.run(byMs)
    let isWritten = false
    const write = service.transaction(async tx => {
      for (const resource of [people, projects]) await tx.put(resource, 'hot', { name: 'the last one' })
    })
    write.then(
      () => {
        isWritten = true
      },
      () => {},
    )
    await runtime.run(runtime.now() + lastWithinMs, () => isWritten && this.isRight)
    this.#judge('after the last change')
  }

  checkEnd(): void {
    this.#judge('at the end')
  }

  #judge(when: string): void {
    for (const page of this.pages) {
      if (page.isRight) continue
      const { name, reason } = page.status ?? {}
      this.#parts.ledger.violations.push(
        `${when} ${page.name} is ${name} ${reason} at ${page.marker}: ${page.difference() ?? 'equal'}`,
      )
    }
  }

  async close(): Promise<void> {
    for (const page of this.pages) page.close()
    await Promise.all(this.bridges.map(bridge => bridge.close()))
  }

  uninstall(): void {
    this.#uninstall()
  }
}
