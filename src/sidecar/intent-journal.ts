/**
 * Which paths may change through a request that is on its way: written to disk before the request goes out, so that after
 * a crash it is known where to look.
 *
 * A path that nobody holds any more stays in the file for a while. The next write of it then waits for no disk, and all
 * it costs is to look once too often after a crash. Lines: `+/people/ann` and `-/people/ann`.
 */
import { type FileHandle, mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { LockstepError, quote } from '../contract/index.ts'

export interface IntentJournal extends AsyncDisposable {
  /** The paths that were held when the program before this one ended, or shortly before. */
  readonly leftOver: readonly string[]
  /**
   * Holds paths, each until it is released as often as it was held; gives a promise only where the disk is to be waited for.
   * Errors: `log-failed`, `log-closed`, `overloaded`; then nothing is held.
   */
  hold(paths: readonly string[]): Promise<void> | undefined
  release(paths: readonly string[]): void
  /** Idempotent. */
  close(): Promise<void>
}

export interface IntentJournalOptions {
  /** Made, with its folder, where it is missing. */
  readonly file: string
  /** Paths held at a time. @default 100_000 */
  readonly maxHeld?: number
  /** Paths that stay in the file although nobody holds them. @default 1_000 */
  readonly maxKept?: number
  /** The file is written anew past this. @default 4_194_304 */
  readonly maxFileBytes?: number
}

/** Errors: `log-failed`. */
export async function openIntentJournal(options: IntentJournalOptions): Promise<IntentJournal> {
  const { file } = options
  try {
    await mkdir(dirname(file), { recursive: true })
    const leftOver = readPaths(await readText(file))
    const journal = new FileJournal(options, leftOver)
    await journal.start()
    return journal
  } catch (cause) {
    throw failed(file, cause)
  }
}

/** Without a file: what was under way when the program ended is found by the scan at its start. */
export function createMemoryJournal(): IntentJournal {
  const close = async (): Promise<void> => {}
  return { leftOver: [], hold: () => undefined, release() {}, close, [Symbol.asyncDispose]: close }
}

interface Held {
  count: number
  /** `undefined` once it is on disk. */
  written: Promise<void> | undefined
}

class FileJournal implements IntentJournal {
  readonly leftOver: readonly string[]
  readonly #options: Required<IntentJournalOptions>
  readonly #held = new Map<string, Held>()
  /** In the file, but held by nobody; the one that was released first is the first. */
  readonly #kept = new Set<string>()
  #handle: FileHandle | undefined
  #lines = ''
  #bytes = 0
  #next: PromiseWithResolvers<void> | undefined
  #isWriting = false
  #isClosed = false

  constructor(options: IntentJournalOptions, leftOver: readonly string[]) {
    this.#options = { maxHeld: 100_000, maxKept: 1_000, maxFileBytes: 4_194_304, ...options }
    this.leftOver = leftOver
    for (const path of leftOver.slice(-this.#options.maxKept)) this.#kept.add(path)
  }

  async start(): Promise<void> {
    await this.#rewrite()
  }

  hold(paths: readonly string[]): Promise<void> | undefined {
    if (this.#isClosed) throw new LockstepError('log-closed', 'The sidecar is closed.')
    if (this.#held.size + paths.length > this.#options.maxHeld) {
      throw new LockstepError(
        'overloaded',
        `${this.#options.maxHeld} paths are being written or looked at. Try again shortly.`,
      )
    }
    const waits = new Set<Promise<void>>()
    for (const path of paths) {
      const held = this.#held.get(path)
      if (held !== undefined) held.count++
      else if (this.#kept.delete(path)) this.#held.set(path, { count: 1, written: undefined })
      else this.#write(path)
      const { written } = this.#held.get(path)!
      if (written !== undefined) waits.add(written)
    }
    if (waits.size === 0) return undefined
    return Promise.all(waits).then(
      () => {},
      error => {
        this.release(paths)
        throw error
      },
    )
  }

  #write(path: string): void {
    const held: Held = { count: 1, written: this.#append(`+${path}\n`) }
    this.#held.set(path, held)
    held.written!.then(
      () => {
        held.written = undefined
      },
      () => {
        // It is not in the file: whoever holds it next has to write it.
        if (this.#held.get(path) === held) this.#held.delete(path)
      },
    )
  }

  release(paths: readonly string[]): void {
    for (const path of paths) {
      const held = this.#held.get(path)
      if (held === undefined || --held.count > 0) continue
      this.#held.delete(path)
      this.#kept.add(path)
      if (this.#kept.size <= this.#options.maxKept) continue
      const [oldest] = this.#kept
      this.#kept.delete(oldest!)
      // Nobody waits for it: it goes with the next line that somebody waits for.
      this.#lines += `-${oldest}\n`
    }
  }

  /** Resolves when the line is on disk, with those that came in the meantime. */
  #append(line: string): Promise<void> {
    this.#lines += line
    this.#next ??= Promise.withResolvers()
    const { promise } = this.#next
    if (!this.#isWriting) void this.#flush()
    return promise
  }

  async #flush(): Promise<void> {
    this.#isWriting = true
    // What comes in the same turn shares the disk's time.
    await Promise.resolve()
    while (this.#next !== undefined) {
      const [text, waiting] = [this.#lines, this.#next]
      this.#lines = ''
      this.#next = undefined
      try {
        if (this.#bytes > this.#options.maxFileBytes) await this.#rewrite()
        else await this.#store(text)
        waiting.resolve()
      } catch (cause) {
        waiting.reject(failed(this.#options.file, cause))
      }
    }
    this.#isWriting = false
  }

  async #store(text: string): Promise<void> {
    await this.#handle!.appendFile(text)
    await this.#handle!.datasync()
    this.#bytes += Buffer.byteLength(text)
  }

  /** Writes a new file with what is held and kept, and puts it in the place of the old one. */
  async #rewrite(): Promise<void> {
    const { file } = this.#options
    const text = [...this.#kept, ...this.#held.keys()].map(path => `+${path}\n`).join('')
    const handle = await open(`${file}.new`, 'w')
    try {
      await handle.appendFile(text)
      await handle.sync()
      await rename(`${file}.new`, file)
      await syncFolder(dirname(file))
    } catch (error) {
      await handle.close()
      throw error
    }
    await this.#handle?.close()
    this.#handle = handle
    this.#bytes = Buffer.byteLength(text)
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    while (this.#next !== undefined) await this.#next.promise.catch(() => {})
    this.#kept.clear()
    // In the end only what is held is worth a look.
    await this.#rewrite().catch(() => {})
    await this.#handle?.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}

/** A last line without its end was never waited for to the end: it is left out. */
function readPaths(text: string): string[] {
  const paths = new Set<string>()
  for (const line of text.slice(0, text.lastIndexOf('\n') + 1).split('\n')) {
    if (line.startsWith('+/')) paths.add(line.slice(1))
    else if (line.startsWith('-/')) paths.delete(line.slice(1))
  }
  return [...paths]
}

/** On systems where a folder cannot be opened the new name is durable without it, or cannot be made so. */
async function syncFolder(folder: string): Promise<void> {
  try {
    await using handle = await open(folder, 'r')
    await handle.sync()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'EISDIR' && code !== 'EPERM' && code !== 'EINVAL' && code !== 'EACCES') throw error
  }
}

function failed(file: string, cause: unknown): LockstepError {
  return new LockstepError(
    'log-failed',
    `The intents could not be written to ${quote(file)}: the request was not passed on. Look whether the disk is full or read-only.`,
    { cause },
  )
}
