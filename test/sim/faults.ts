/** The faults of a simulation: chosen from the seed, some at the same time, all over at the end. */
import type { SimBroker } from './broker.ts'
import type { SimFollower } from './followers.ts'
import type { SimLink } from './network.ts'
import type { Runtime } from './runtime.ts'
import type { SimService } from './service.ts'

export interface FaultParts {
  readonly runtime: Runtime
  readonly service: SimService
  readonly broker: SimBroker
  readonly followers: readonly SimFollower[]
  readonly links: readonly SimLink[]
  readonly tell: (line: string) => void
  readonly onFault: (name: string) => void
  /** Those of pages, where there are some. */
  readonly more?: Readonly<Record<string, Fault>>
}

export type Fault = (parts: FaultParts) => Promise<void>

export const faultKinds: Readonly<Record<string, Fault>> = {
  async 'service killed'({ runtime, service }) {
    if (!service.isUp) return
    service.kill()
    await runtime.sleep(runtime.between(1, 4_000))
    await service.start()
    if (!runtime.chance(0.3)) return
    // Also while it recovers.
    await runtime.sleep(runtime.between(0, 30))
    service.kill()
    await service.start()
  },
  async 'backup restored'({ runtime, service }) {
    if (!service.isUp) return
    service.backUp()
    await runtime.sleep(runtime.between(100, 3_000))
    if (!service.isUp) return
    service.kill()
    service.restore()
    await runtime.sleep(runtime.between(1, 1_000))
    await service.start()
  },
  async 'broker killed'({ runtime, broker }) {
    if (!broker.isUp) return
    broker.stop(runtime.chance(0.7))
    await runtime.sleep(runtime.between(1, 20_000))
    broker.start()
  },
  async 'broker loses messages'({ runtime, broker }) {
    broker.faults.lose = runtime.pick([0.05, 0.5, 1])
    await runtime.sleep(runtime.between(100, 8_000))
    broker.faults.lose = 0
  },
  async 'broker repeats and reorders'({ runtime, broker }) {
    broker.faults.repeat = 0.3
    broker.faults.reorder = 0.3
    await runtime.sleep(runtime.between(100, 8_000))
    broker.faults.repeat = broker.faults.reorder = 0
  },
  async 'broker overflows for a client'({ runtime, broker, followers }) {
    const { mqtt } = runtime.pick(followers)
    if (mqtt === undefined) return
    broker.overflowing.add(mqtt)
    await runtime.sleep(runtime.between(100, 20_000))
    broker.overflowing.delete(mqtt)
  },
  async 'an old head is told again'({ broker }) {
    broker.tellOldHead()
  },
  async 'follower killed'({ runtime, followers }) {
    for (let kills = runtime.between(1, 4); kills > 0; kills--) {
      await runtime.pick(followers).kill(runtime.between(1, 6_000))
      await runtime.sleep(runtime.between(0, 1_000))
    }
  },
  async 'follower cut from the broker'({ runtime, followers }) {
    const { mqtt } = runtime.pick(followers)
    if (mqtt === undefined) return
    mqtt.isCut = true
    await runtime.sleep(runtime.between(1, 10_000))
    mqtt.isCut = false
  },
  async 'link cut'({ runtime, links }) {
    const link = runtime.pick(links)
    link.cut()
    await runtime.sleep(runtime.between(1, 6_000))
    link.isCut = false
  },
  async 'link hangs'({ runtime, links }) {
    const link = runtime.pick(links)
    link.isBlackHole = true
    await runtime.sleep(runtime.between(1, 6_000))
    link.isBlackHole = false
  },
  async 'answers are lost'({ runtime, links }) {
    const link = runtime.pick(links)
    link.lose = 0.5
    await runtime.sleep(runtime.between(100, 5_000))
    link.lose = 0
  },
  async 'log pruned'({ service }) {
    if (service.isUp) await service.prune()
  },
}

/** Runs faults for a while and resolves when all of them are over. */
export async function injectFaults(parts: FaultParts): Promise<void> {
  const { runtime, tell, onFault, more = {} } = parts
  const names = [...Object.keys(faultKinds), ...Object.keys(more)]
  const running: Promise<void>[] = []
  const count = runtime.between(1, 7)
  for (let index = 0; index < count; index++) {
    await runtime.sleep(runtime.between(50, 2_500))
    const name = runtime.pick(names)
    tell(`fault: ${name}`)
    onFault(name)
    running.push((more[name] ?? faultKinds[name]!)(parts))
  }
  await Promise.all(running)
  await runtime.sleep(runtime.between(0, 500))
}
