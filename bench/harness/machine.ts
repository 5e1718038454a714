/** What a figure depends on besides the code: the machine, its disk, its load, and the versions of all that runs. */
import { spawnSync } from 'node:child_process'
import { closeSync, fdatasyncSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { arch, cpus, loadavg, platform, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { canPin } from './measured-process.ts'
import { summarize } from './summary.ts'

export interface Machine {
  readonly date: string
  readonly cpu: string
  readonly cores: number
  readonly memoryGib: number
  readonly system: string
  readonly node: string
  readonly sqlite: string
  readonly versions: Readonly<Record<string, string>>
  readonly pinned: boolean
  /** The median time of writing 4 KiB and waiting for the disk. */
  readonly fdatasyncUs: number
  /** The share of the processors that others used before the run. */
  readonly busyBefore: number
  readonly loadBefore: number
}

/** Looks at the machine; takes two seconds. */
export async function readMachine(
  folder: string,
  mosquitto: string | undefined,
  versions: Readonly<Record<string, string>>,
): Promise<Machine> {
  const [loadBefore = 0] = loadavg()
  const busyBefore = await measureBusy(1_500)
  return {
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()} ${arch()}`,
    node: process.version,
    sqlite: process.versions['sqlite'] ?? 'unknown',
    versions: mosquitto === undefined ? versions : { ...versions, mosquitto: readVersion(mosquitto) },
    pinned: canPin,
    fdatasyncUs: measureFdatasync(folder),
    busyBefore,
    loadBefore,
  }
}

function readVersion(mosquitto: string): string {
  const { stdout } = spawnSync(mosquitto, ['-h'], { encoding: 'utf8' })
  return /version (\S+)/.exec(stdout)?.[1] ?? 'unknown'
}

/** The share of all processors that is in use while this process does nothing. */
export async function measureBusy(ms: number): Promise<number> {
  const before = readTicks()
  await new Promise(resolve => setTimeout(resolve, ms))
  const after = readTicks()
  const total = after.total - before.total
  return total === 0 ? 0 : 1 - (after.idle - before.idle) / total
}

function readTicks(): { idle: number; total: number } {
  try {
    const fields = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!.trim().split(/\s+/).slice(1, 9)
    const ticks = fields.map(Number)
    return { idle: ticks[3]! + ticks[4]!, total: ticks.reduce((sum, value) => sum + value, 0) }
  } catch {
    return { idle: 0, total: 0 }
  }
}

function measureFdatasync(folder: string): number {
  const file = join(folder, 'fdatasync')
  const descriptor = openSync(file, 'w')
  const page = Buffer.alloc(4096, 1)
  const times: number[] = []
  for (let count = 0; count < 100; count++) {
    const start = performance.now()
    writeSync(descriptor, page, 0, page.length, (count % 16) * page.length)
    fdatasyncSync(descriptor)
    times.push((performance.now() - start) * 1_000)
  }
  closeSync(descriptor)
  rmSync(file)
  return Math.round(summarize(times).median)
}
