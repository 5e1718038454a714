/** The tag that a page carries from its server to its browser, safe inside HTML. PROTOCOL.md §9.1. */
import type { JsonObject } from '../contract/index.ts'
import type { Follow } from './view.ts'

/** A resource that the page shows. */
export interface Held {
  readonly version: number
  /** As far as the page follows it; missing where the page does not want it twice. */
  readonly state?: JsonObject
}

/** What the tag says. */
export interface TagContent {
  /** The URL of the bridge. */
  readonly live: string
  readonly follow: readonly Follow[]
  readonly marker: string
  readonly ticket?: string
  /** Where the page gets a new ticket. */
  readonly renew?: string
  /** By canonical path. */
  readonly held: Readonly<Record<string, Held>>
}

const escapes: Readonly<Record<string, string>> = { '<': '\\u003c', '\u2028': '\\u2028', '\u2029': '\\u2029' }

/** Writes the tag; put it anywhere into the HTML, unescaped. No content can end the script or begin a comment. */
export function formatTag(content: TagContent): string {
  const json = JSON.stringify(content).replace(/[<\u2028\u2029]/g, character => escapes[character]!)
  return `<script type="application/json" data-live>${json}</script>`
}
