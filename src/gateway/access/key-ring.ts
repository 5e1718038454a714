/**
 * The keys that are known now: looked up by what was sent, read again when their file changes, and when each was last used.
 *
 * A file that is broken or gone changes nothing: the keys that were read last go on, and the fault is told.
 */
import { stat } from 'node:fs/promises'
import type { ReportError } from '../../contract/index.ts'
import { hashApiKey, keyLength } from './api-key.ts'
import { isValidKey, type KeyRecord, readKeys, readLastUsed, replaceFile } from './key-file.ts'

export interface KeyRingOptions {
  readonly file: string
  readonly pepper?: string | undefined
  readonly onError: ReportError
  /** How often the file is looked at. @default 1_000 */
  readonly lookEveryMs?: number
  /** How often it is written down which keys were used. @default 60_000 */
  readonly saveEveryMs?: number
  /** @default Date.now */
  readonly now?: () => number
}

export interface KeyRing {
  /** The valid key of this text. */
  find(text: string): KeyRecord | undefined
  /** Is the key of this id still valid? */
  holds(id: string): boolean
  /** Reads the file again where it has changed. */
  reload(): Promise<void>
  close(): Promise<void>
}

/** Errors: `invalid-option` where the file cannot be read at first. */
export async function openKeyRing(options: KeyRingOptions): Promise<KeyRing> {
  const { file, pepper, onError, lookEveryMs = 1_000, saveEveryMs = 60_000, now = Date.now } = options
  let stamp = await stampOf(file)
  let keys = index(await readKeys(file))
  const used = new Map<string, number>()
  let isTold = false
  let isClosed = false
  const reload = async (): Promise<void> => {
    const seen = await stampOf(file)
    if (seen === stamp) return
    try {
      keys = index(await readKeys(file))
      stamp = seen
      isTold = false
    } catch (error) {
      if (!isTold) onError(error, { stage: 'keys' })
      isTold = true
    }
  }
  const save = async (): Promise<void> => {
    if (used.size === 0) return
    const times: Record<string, string> = { ...(await readLastUsed(file)) }
    for (const [id, ms] of used) {
      const time = new Date(ms).toISOString()
      if (!(times[id] !== undefined && times[id] > time)) times[id] = time
    }
    used.clear()
    const known = Object.entries(times).filter(([id]) => keys.byId.has(id))
    await replaceFile(`${file}.used`, `${JSON.stringify(Object.fromEntries(known), null, 1)}\n`)
  }
  const report = (error: unknown): void => onError(error, { stage: 'keys' })
  const looking = setInterval(() => void reload(), lookEveryMs).unref()
  const saving = setInterval(() => void save().catch(report), saveEveryMs).unref()
  return {
    find(text) {
      // Its checksum is for people and scanners: the hash says more.
      if (text.length !== keyLength) return undefined
      // How long it takes to look for a hash says nothing of the key: nobody can choose his hash.
      const key = keys.byHash.get(hashApiKey(text, pepper))
      if (key === undefined || !isValidKey(key, now())) return undefined
      used.set(key.id, now())
      return key
    },
    holds(id) {
      // A new configuration has a ring of its own; what was let in by this one is still watched by it.
      if (isClosed) void reload()
      const key = keys.byId.get(id)
      return key !== undefined && isValidKey(key, now())
    },
    reload,
    async close() {
      isClosed = true
      clearInterval(looking)
      clearInterval(saving)
      await save().catch(report)
    },
  }
}

function index(records: readonly KeyRecord[]): {
  readonly byHash: ReadonlyMap<string, KeyRecord>
  readonly byId: ReadonlyMap<string, KeyRecord>
} {
  return {
    byHash: new Map(records.map(record => [record.hash, record])),
    byId: new Map(records.map(record => [record.id, record])),
  }
}

/** Differs wherever the file may: it is replaced as a whole. */
async function stampOf(file: string): Promise<string> {
  try {
    const { ino, size, mtimeMs } = await stat(file)
    return `${ino} ${size} ${mtimeMs}`
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code)
  }
}
