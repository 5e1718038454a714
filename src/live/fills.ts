/**
 * Reads the feed for pages that are older than the backlog: in windows that begin at round numbers, so that many pages with different positions
 * share one read, and each window is read once however many ask for it. PROTOCOL.md §5.4.
 */
import { isLockstepError } from '../contract/index.ts'
import type { FeedPage } from './backlog.ts'
import type { Feed } from './feed.ts'

/** How many changes a window has. */
const windowSize = 500
/** Windows that were read are kept for a moment: those who come in a storm do not come at once. */
const keptMs = 2_000
const maxKept = 8

export interface Fills {
  /** Everything after a position up to the end of its window. Errors: those of the feed. */
  read(epoch: string, after: number, first: number): Promise<FeedPage>
}

export function createFills(feed: Feed, now: () => number, signal: AbortSignal, onRead: () => void): Fills {
  const windows = new Map<string, { readonly page: Promise<FeedPage>; readonly atMs: number }>()

  function readOnce(epoch: string, after: number): Promise<FeedPage> {
    for (const [key, { atMs }] of windows) {
      if (windows.size >= maxKept || now() - atMs > keptMs) windows.delete(key)
    }
    const key = `${epoch}:${after}`
    const known = windows.get(key)
    if (known !== undefined) return known.page
    onRead()
    const page = feed.read({ epoch, seq: after }, windowSize, signal)
    windows.set(key, { page, atMs: now() })
    page.catch(() => windows.delete(key))
    return page
  }

  return {
    async read(epoch, after, first) {
      const start = Math.max(first - 1, after - (after % windowSize))
      try {
        const page = await readOnce(epoch, Math.min(start, after))
        if (page.to > after) return page
      } catch (error) {
        // The beginning of the window has been deleted from the log; the position itself may still be there.
        if (!isLockstepError(error, 'position-gone') || start >= after) throw error
      }
      return await readOnce(epoch, after)
    },
  }
}
