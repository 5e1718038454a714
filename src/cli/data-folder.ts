/**
 * The folder where `lockstep serve` keeps what it serves: the change log, and which collections have had their
 * first rows.
 *
 * It only ever deletes files that it made itself, and none that a running service has open. PROTOCOL.md §7.
 */
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { LockstepError } from 'lockstep/contract'
import { type ChangeLog, createMemoryLog, openSqliteLog, type ReportError } from 'lockstep/log'
import { logFile } from './data-failure.ts'

export interface DataFolder {
  /** Where it is; `undefined` where everything is in memory. */
  readonly folder: string | undefined
  readonly log: ChangeLog
  /** Has the collection (by its route) never been served from here? */
  isNew(route: string): boolean
  /** Remembers that the collections have had their first rows. */
  noteServed(routes: readonly string[]): Promise<void>
}

const recordFile = 'first-rows.json'
/** Everything that is ever made here. The record goes last: without it nothing here counts as ours. */
const ownFiles = [
  logFile,
  `${logFile}-wal`,
  `${logFile}-shm`,
  `${logFile}.guard`,
  `${logFile}.guard.tmp`,
  `${recordFile}.tmp`,
  recordFile,
]
const about = 'Made by "lockstep serve": the collections that have had their first rows.'

interface Record {
  readonly about: string
  readonly collections: readonly string[]
}

/** Keeps everything in memory: it is gone when the process ends. */
export function createMemoryData(): DataFolder {
  const served = new Set<string>()
  return {
    folder: undefined,
    log: createMemoryLog(),
    isNew: route => !served.has(route),
    noteServed: async routes => {
      for (const route of routes) served.add(route)
    },
  }
}

/** Opens the folder, made where it is missing. Errors: `invalid-option`, `log-failed`; those of the file system. */
export async function openDataFolder(folder: string, onError: ReportError): Promise<DataFolder> {
  const file = join(folder, logFile)
  await makeFolder(folder)
  const hasLog = existsSync(file)
  const record = await readRecord(folder)
  checkRecord(folder, record, hasLog)
  const served = new Set(record?.collections)
  // Two services on one log would take each other's messages for published, each on its own broker.
  checkUnused(file)
  // The record comes first, so that whatever is left by a crash is known to be ours.
  if (!hasLog) await writeRecord(folder, [])
  const log = await openSqliteLog({ file, onError })
  return {
    folder,
    log,
    isNew: route => !served.has(route),
    async noteServed(routes) {
      if (routes.every(route => served.has(route))) return
      for (const route of routes) served.add(route)
      await writeRecord(folder, [...served].sort())
    },
  }
}

/** Without a record nobody knows which collections have had their first rows. Errors: `invalid-option`. */
function checkRecord(
  folder: string,
  record: Record | 'damaged' | undefined,
  hasLog: boolean,
): asserts record is Record | undefined {
  const file = join(folder, recordFile)
  let fault: string | undefined
  if (hasLog && record === undefined) {
    fault = `${folder} holds a ${logFile} without its ${recordFile}, so it is not clear what was served from it. Choose another folder with --data, or restore ${recordFile}.`
  } else if (hasLog && record === 'damaged') {
    fault = `${file} is damaged, so it is not clear which collections have had their first rows. Restore it from a backup, or begin afresh with --reset; --data chooses another folder.`
  } else if (record === 'damaged') {
    fault = `${file} is not of "lockstep serve", which would keep a file of this name here. Choose another folder with --data.`
  }
  if (fault !== undefined) throw new LockstepError('invalid-option', fault)
}

/**
 * Deletes what was kept in the folder, and returns the paths of the files. Errors: `invalid-option` where the
 * files are not ours, or a service has them open; those of the file system.
 */
export async function resetDataFolder(folder: string): Promise<readonly string[]> {
  const own = ownFiles.map(name => join(folder, name)).filter(existsSync)
  if (own.length === 0) return []
  const record = await readRecord(folder)
  // A damaged record is known by what stands beside it.
  const isOurs = record === 'damaged' ? existsSync(join(folder, logFile)) : record !== undefined
  if (!isOurs) {
    throw new LockstepError(
      'invalid-option',
      `${folder} has no ${recordFile} of "lockstep serve", so nothing in it is deleted. Delete it yourself, or choose another folder with --data.`,
    )
  }
  checkUnused(join(folder, logFile))
  for (const file of own) await rm(file, { force: true })
  return own
}

/** Folder after folder: Node's own way to make several never comes back from /proc. */
async function makeFolder(folder: string): Promise<void> {
  if (existsSync(folder)) return
  await makeFolder(dirname(folder))
  await mkdir(folder).catch(error => {
    if (error.code !== 'EEXIST') throw error
  })
}

/** SQLite leaves the WAL mode only where no other connection is open: so it knows what no list of processes does. */
function checkUnused(file: string): void {
  if (!existsSync(file)) return
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(file)
    database.exec('PRAGMA journal_mode = DELETE')
  } catch (cause) {
    if (!/locked|busy/.test(String(cause))) return
    throw new LockstepError(
      'invalid-option',
      `${file} is in use by a running service. Stop that first, or choose another folder with --data.`,
      { cause },
    )
  } finally {
    database?.close()
  }
}

/** `'damaged'` where the file is there but is no record. */
async function readRecord(folder: string): Promise<Record | 'damaged' | undefined> {
  try {
    const record = JSON.parse(await readFile(join(folder, recordFile), 'utf8')) as Partial<Record> | null
    const isOurs = record?.about === about && Array.isArray(record.collections)
    return isOurs ? (record as Record) : 'damaged'
  } catch (error) {
    if (error instanceof SyntaxError) return 'damaged'
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function writeRecord(folder: string, collections: readonly string[]): Promise<void> {
  const record: Record = { about, collections }
  const file = join(folder, recordFile)
  await writeFile(`${file}.tmp`, `${JSON.stringify(record, null, 2)}\n`, { flush: true })
  await rename(`${file}.tmp`, file)
}
