/**
 * Watches one file and tells when it may have changed.
 *
 * The folder is watched, since editors replace a file rather than write into it; where that is not possible (some
 * network and container file systems) the file is looked at every second.
 */
import { type FSWatcher, unwatchFile, watch, watchFile } from 'node:fs'
import { basename, dirname } from 'node:path'

/** Writing a file takes several steps; they are taken as one. */
const settleMs = 60
const pollMs = 1_000

/** Calls back after the file was written, replaced or removed, also once in vain. Returns what ends it. */
export function watchServedFile(path: string, onChange: () => void): () => void {
  let timer: NodeJS.Timeout | undefined
  const settle = (): void => {
    clearTimeout(timer)
    timer = setTimeout(onChange, settleMs)
  }
  const poll = (): void => void watchFile(path, { interval: pollMs }, settle)
  let watcher: FSWatcher | undefined
  try {
    watcher = watch(dirname(path), (_event, name) => {
      if (name === null || name === basename(path)) settle()
    })
    watcher.on('error', poll)
  } catch {
    poll()
  }
  return () => {
    clearTimeout(timer)
    watcher?.close()
    unwatchFile(path)
  }
}
