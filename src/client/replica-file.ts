/**
 * The file of a replica: opening, the lock, and what becomes of a file that is damaged or cannot be written.
 *
 * `node:sqlite` is loaded here, on the first use, so that browsers never meet it. PROTOCOL.md §6.9.
 */
import type { DatabaseSync } from 'node:sqlite'
import { LockstepError, quote } from '../contract/index.ts'
import {
  applicationId,
  checkOurs,
  copyDatabase,
  type OpenedDatabase,
  prepareDatabase,
  type ReplicaTarget,
  readDatabase,
} from './replica-database.ts'
import {
  asReplicaFailure,
  damageOf,
  isBusy,
  isDamage,
  isNoDatabase,
  isUnwritable,
  reasonOf,
} from './replica-failure.ts'

/** SQLite's waiting blocks the event loop, so it is short; what fails is tried again. */
const blockingTimeoutMs = 100
/** A file up to here is looked through when it is opened. Damage in a larger one shows when it is read or written. */
const maxCheckedBytes = 16 * 1024 * 1024

/**
 * Opens the file, and makes it and its folder where they are missing. A damaged one is put aside; one that cannot be
 * written is read into memory: `notice` says so. Errors: `missing-dependency` where there is no node:sqlite,
 * `invalid-option` where it holds something else, `replica-failed` where it is in use or there can be none.
 */
export function openReplicaFile(target: ReplicaTarget): ReplicaFile {
  const opened = new ReplicaFile(target, loadModules())
  opened.open()
  return opened
}

export class ReplicaFile {
  /** As the application has named it. */
  readonly file: string
  /** What the application should know of the opening. */
  notice: LockstepError | undefined
  readonly #target: ReplicaTarget
  readonly #modules: Modules
  /** Where it lies, whatever links lead there: what lies beside it is shared by all who open it. */
  #place: string
  #opened: OpenedDatabase | undefined
  #database: DatabaseSync | undefined
  #lock: DatabaseSync | undefined
  #isRenewed = false

  constructor(target: ReplicaTarget, modules: Modules) {
    this.file = this.#place = target.file
    this.#target = target
    this.#modules = modules
  }

  /** What is in use; another one after `renew`. */
  get opened(): OpenedDatabase {
    return this.#opened!
  }

  /** Once. Errors: as {@link openReplicaFile}. */
  open(): void {
    const { fs, path } = this.#modules
    let [isThere, wasOurs] = [false, false]
    try {
      isThere = fs.statSync(this.file, { throwIfNoEntry: false })?.isFile() === true
      fs.mkdirSync(path.dirname(this.file), { recursive: true })
      this.#place = this.#resolve(this.file)
      wasOurs = fs.existsSync(`${this.#place}-lock`)
      this.#checkNames()
      this.#openLock()
      this.#openFile()
    } catch (error) {
      if (isDamage(error) || (isNoDatabase(error) && (wasOurs || this.#looksOurs()))) {
        this.notice = this.renew()
      } else if (isThere && isUnwritable(error)) {
        this.#openUnwritable()
        this.notice = goesOnInMemory(`The replica ${quote(this.file, 200)} cannot be written`, error)
      } else {
        const isLocked = this.#lock !== undefined
        this.close()
        // Left behind, it would say of somebody else's file that it was ours.
        if (isLocked && !wasOurs) fs.rmSync(`${this.#place}-lock`, { force: true })
        throw this.#refusal(error)
      }
    }
  }

  /**
   * Puts a damaged file aside, and goes on with an empty one in its place; in memory where that cannot be, or does not
   * last. Gives what to tell the application.
   */
  renew(): LockstepError {
    const was = `The replica ${quote(this.file, 200)} was damaged`
    this.#closeDatabase()
    try {
      if (this.#isRenewed) throw new Error('it was replaced once already')
      this.#isRenewed = true
      const aside = this.#setAside()
      this.#openFile()
      return new LockstepError(
        'replica-failed',
        `${was}. It lies in ${quote(aside, 200)} now, for a look at what happened; everything is fetched anew.`,
      )
    } catch (error) {
      this.#openMemory()
      return goesOnInMemory(`${was} and cannot be replaced`, error)
    }
  }

  /** Lets file and lock go. Idempotent. */
  close(): void {
    this.#closeDatabase()
    if (this.#lock?.isOpen) this.#lock.close()
  }

  #closeDatabase(): void {
    if (this.#database?.isOpen) this.#database.close()
  }

  #openFile(): void {
    const { sqlite, fs } = this.#modules
    this.#database = new sqlite.DatabaseSync(this.#place, { timeout: blockingTimeoutMs })
    this.#opened = prepareDatabase(this.#database, this.#target)
    if (fs.statSync(this.#place).size > maxCheckedBytes) return
    const found = this.#database.prepare('PRAGMA quick_check(1)').get()?.['quick_check']
    if (found !== 'ok') throw damageOf(String(found))
  }

  #openMemory(): void {
    this.#closeDatabase()
    this.#database = new this.#modules.sqlite.DatabaseSync(':memory:')
    this.#opened = prepareDatabase(this.#database, this.#target)
  }

  /** Takes into memory what can be read. Errors: `invalid-option` where it holds something else. */
  #openUnwritable(): void {
    this.close()
    let kept: DatabaseSync | undefined
    try {
      kept = new this.#modules.sqlite.DatabaseSync(this.#readableUrl(), { readOnly: true })
      checkOurs(kept, this.#target)
      this.#openMemory()
      copyDatabase(kept, this.#database!)
      this.#opened = readDatabase(this.#database!)
    } catch (error) {
      if (error instanceof LockstepError) throw error
      // Nothing can be had from it: the follower begins with nothing.
      this.#openMemory()
    } finally {
      kept?.close()
    }
  }

  /** Without a log beside it the file is whole, and is read as it is: in a folder that cannot be written it would not open. */
  #readableUrl(): string {
    const { fs, path, url } = this.#modules
    const { href } = url.pathToFileURL(path.resolve(this.#place))
    return fs.existsSync(`${this.#place}-wal`) ? href : `${href}?immutable=1`
  }

  /** Follows symbolic links, also to where no file is yet. */
  #resolve(file: string): string {
    const { fs, path } = this.#modules
    try {
      return fs.realpathSync.native(file)
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'ENOENT') throw error
    }
    const place = path.join(fs.realpathSync.native(path.dirname(file)), path.basename(file))
    const isLink = fs.lstatSync(place, { throwIfNoEntry: false })?.isSymbolicLink() === true
    return isLink ? this.#resolve(path.resolve(path.dirname(place), fs.readlinkSync(place))) : place
  }

  /** SQLite finds its log by the name: under another one it would not see what the log holds. */
  #checkNames(): void {
    const stat = this.#modules.fs.statSync(this.#place, { throwIfNoEntry: false })
    if (stat?.isFile() !== true || stat.nlink < 2) return
    throw new LockstepError(
      'invalid-option',
      `The file ${quote(this.file, 200)} has ${stat.nlink} names (hard links), under which it could be written twice at once. Give the replica a file of its own; a copy of this one will do.`,
    )
  }

  #setAside(): string {
    const { fs } = this.#modules
    const aside = `${this.#place}.damaged`
    for (const part of ['', '-wal', '-shm']) {
      fs.rmSync(aside + part, { force: true })
      if (fs.existsSync(this.#place + part)) fs.renameSync(this.#place + part, aside + part)
    }
    return aside
  }

  /** Is its beginning lost, as after a power cut, or does it bear our mark in it? */
  #looksOurs(): boolean {
    const { fs } = this.#modules
    const head = Buffer.alloc(100)
    const handle = fs.openSync(this.#place, 'r')
    fs.readSync(handle, head, 0, head.length, 0)
    fs.closeSync(handle)
    return head.every(byte => byte === 0) || head.readUInt32BE(68) === applicationId
  }

  /** Holds a lock that ends with the process, however it ends. Readers of the file itself are not kept out. */
  #openLock(): void {
    this.#lock = new this.#modules.sqlite.DatabaseSync(`${this.#place}-lock`, { timeout: 0 })
    try {
      this.#lock.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
    } catch (error) {
      this.#lock.close()
      this.#lock = undefined
      if (!isBusy(error)) throw error
      throw new LockstepError(
        'replica-failed',
        `The replica ${quote(this.file, 200)} is in use by another follower, here or in another process. Give each follower a file of its own, or close the other one first.`,
        { cause: error },
      )
    }
  }

  #refusal(error: unknown): LockstepError {
    if (!isNoDatabase(error)) return asReplicaFailure(error, this.file, 'opened')
    return new LockstepError(
      'invalid-option',
      `The file ${quote(this.file, 200)} is not a SQLite database. Give the replica another file; or delete it where it was a replica: everything is fetched anew.`,
      { cause: error },
    )
  }
}

function goesOnInMemory(what: string, error: unknown): LockstepError {
  return new LockstepError(
    'replica-failed',
    `${what}: ${reasonOf(error)}. The follower goes on in memory, and nothing is kept over its end. Check the path, its permissions and the space on the disk, and follow again.`,
    { cause: error },
  )
}

interface Modules {
  readonly sqlite: typeof import('node:sqlite')
  readonly fs: typeof import('node:fs')
  readonly path: typeof import('node:path')
  readonly url: typeof import('node:url')
}

/** Without an import that a bundler for browsers would follow, and at once: `follow` does not wait. */
function loadModules(): Modules {
  const load = globalThis.process?.getBuiltinModule as typeof process.getBuiltinModule | undefined
  const sqlite = load?.('node:sqlite')
  if (load === undefined || sqlite === undefined) {
    throw new LockstepError(
      'missing-dependency',
      'A replica needs node:sqlite, which this runtime does not have (no browser does). Leave out the option replica, or run it on Node.js 24.',
    )
  }
  return { sqlite, fs: load('node:fs'), path: load('node:path'), url: load('node:url') }
}
