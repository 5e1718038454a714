/** The tag that a server puts into a page: where the bridge is, what to follow, from where on, and what is shown. PROTOCOL.md §9.1. */
import { LiveError } from './live-error.ts'
import type { Held } from './page-copy.ts'
import type { Followed } from './page-session.ts'

export interface Tag {
  /** The URL of the bridge, relative to the page. */
  readonly live: string
  readonly follow: readonly Followed[]
  readonly marker: string
  readonly held: Held
  readonly ticket?: string
  /** Where a ticket is made anew. */
  readonly renew?: string
}

/** Reads the tag of a document; `undefined` where it has none. Errors: `invalid-option`. */
export function readTag(document: Document): Tag | undefined {
  const element = document.querySelector('script[type="application/json"][data-live]')
  if (!element) return
  try {
    const tag: Tag = { held: {}, ...JSON.parse(element.textContent) }
    if (tag.live && tag.follow[0]) return tag
  } catch {
    // Told below, together with what is JSON and no tag.
  }
  throw new LiveError('invalid-option', 'The tag cannot be read: let the page helper make it.')
}
