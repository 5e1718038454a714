/**
 * Watches one file and tells when it may have changed.
 *
 * The folder is watched, since editors replace a file rather than write into it. Some network and container file
 * systems tell nothing, and a link's target may change elsewhere, so the file is looked at every second too.
 */
import { type FSWatcher, unwatchFile, watch, watchFile } from 'node:fs'
import { basename, dirname } from 'node:path'

/** Writing a file takes several steps; they are taken as one. */
const settleMs = 60
const pollMs = 1_000

/** Calls back after the file was written, replaced or removed, now and then in vain. Returns what ends it. */
export function watchServedFile(path: string, onChange: () => void): () => void {
  let timer: NodeJS.Timeout | undefined
  const settle = (): void => {
    clearTimeout(timer)
    timer = setTimeout(onChange, settleMs)
  }
  const watcher = watchFolder(dirname(path), name => {
    if (name === undefined || name === basename(path)) settle()
  })
  watchFile(path, { interval: pollMs }, settle)
  return () => {
    clearTimeout(timer)
    watcher?.close()
    unwatchFile(path)
  }
}

/** `undefined` where the system cannot: looking at the file has to do. */
function watchFolder(folder: string, onEvent: (name: string | undefined) => void): FSWatcher | undefined {
  try {
    const watcher = watch(folder, (_event, name) => onEvent(name ?? undefined))
    watcher.on('error', () => watcher.close())
    return watcher
  } catch {
    return undefined
  }
}
