/** What befalls pages, bridges and the server that renders: PROTOCOL.md §9. */
import type { SimBridge } from './bridge.ts'
import type { SimBroker } from './broker.ts'
import type { SimPage } from './page.ts'
import type { SimPageServer } from './page-server.ts'
import type { Runtime } from './runtime.ts'

export interface PageFaultParts {
  readonly runtime: Runtime
  readonly broker: SimBroker
  readonly bridges: readonly SimBridge[]
  readonly pages: readonly SimPage[]
  readonly server: SimPageServer
}

type PageFault = (parts: PageFaultParts) => Promise<void>

export const pageFaultKinds: Readonly<Record<string, PageFault>> = {
  async 'bridge killed'({ runtime, bridges }) {
    const bridge = runtime.pick(bridges)
    bridge.kill()
    await runtime.sleep(runtime.between(1, 6_000))
    await bridge.start()
  },
  async 'bridge restarted'({ runtime, bridges }) {
    const bridge = runtime.pick(bridges)
    await bridge.close()
    await runtime.sleep(runtime.between(1, 1_000))
    await bridge.start()
  },
  async 'bridge cut from the broker'({ runtime, bridges }) {
    const { mqtt } = runtime.pick(bridges)
    if (mqtt === undefined) return
    mqtt.isCut = true
    await runtime.sleep(runtime.between(1, 12_000))
    mqtt.isCut = false
  },
  async 'broker overflows for a bridge'({ runtime, broker, bridges }) {
    const { mqtt } = runtime.pick(bridges)
    if (mqtt === undefined) return
    broker.overflowing.add(mqtt)
    await runtime.sleep(runtime.between(100, 12_000))
    broker.overflowing.delete(mqtt)
  },
  async 'bridge slow to read'({ runtime, bridges }) {
    const { link } = runtime.pick(bridges)
    link.extraMs = runtime.pick([200, 1_000, 2_500])
    await runtime.sleep(runtime.between(1_000, 8_000))
    link.extraMs = 0
  },
  async 'page switched to another bridge'({ runtime, bridges, pages }) {
    for (let times = runtime.between(1, 5); times > 0; times--) {
      const page = runtime.pick(pages)
      page.bridge = runtime.pick(bridges)
      for (const wire of [...page.wires]) wire.cut()
      await runtime.sleep(runtime.between(0, 1_500))
    }
  },
  async 'page cut'({ runtime, pages }) {
    const page = runtime.pick(pages)
    page.cut()
    await runtime.sleep(runtime.chance(0.5) ? 1 : runtime.between(1, 12_000))
    page.isCut = false
  },
  async 'page half-open'({ runtime, pages }) {
    for (const wire of runtime.pick(pages).wires) wire.drop()
  },
  async 'network of a page hangs'({ runtime, pages }) {
    const page = runtime.pick(pages)
    page.hang()
    await runtime.sleep(runtime.between(1, 8_000))
    page.release(runtime.chance(0.3))
  },
  async 'page slow'({ runtime, pages }) {
    const page = runtime.pick(pages)
    for (let times = runtime.between(1, 3); times > 0; times--) {
      const wires = [...page.wires]
      for (const wire of wires) wire.hold(false)
      await runtime.sleep(runtime.between(100, 6_000))
      for (const wire of wires) wire.release()
    }
  },
  async 'tab sleeps'({ runtime, pages }) {
    const { tab } = runtime.pick(pages)
    tab?.sleep()
    await runtime.sleep(runtime.between(100, 15_000))
    tab?.wake()
    tab?.dispatch('document', 'visibilitychange')
  },
  async 'page put away'({ runtime, pages }) {
    const { tab } = runtime.pick(pages)
    tab?.dispatch('window', 'pagehide')
    tab?.sleep()
    await runtime.sleep(runtime.between(100, 15_000))
    tab?.wake()
    tab?.dispatch('window', 'pageshow')
  },
  async 'page opened again from a cache'({ runtime, pages }) {
    await runtime.pick(pages).open(true)
  },
  async 'cache does not listen'({ runtime, server }) {
    server.isCacheDeaf = true
    await runtime.sleep(runtime.between(100, 10_000))
    server.isCacheDeaf = false
  },
  async 'page server down'({ runtime, server }) {
    server.isUp = false
    await runtime.sleep(runtime.between(100, 6_000))
    server.isUp = true
  },
  async 'permission withdrawn'({ runtime, server, pages }) {
    const { name } = runtime.pick(pages)
    if (server.withdrawn.has(name)) return
    server.withdrawn.set(name, runtime.now())
    await runtime.sleep(runtime.between(100, 30_000))
    server.withdrawn.delete(name)
  },
  async 'authorize fails'({ runtime, server }) {
    server.isBlind = true
    await runtime.sleep(runtime.between(100, 10_000))
    server.isBlind = false
  },
}
