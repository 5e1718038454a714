/**
 * A change as a page may see it: whole, narrowed to fields, or not at all. PROTOCOL.md §9.6.
 *
 * What a page may not see is left out here, on the server; nothing is left to the browser.
 */
import { type Json, type JsonObject, setMember } from '../contract/index.ts'
import type { Entry } from './backlog.ts'
import { type View, type Visible, visibleOf } from './view.ts'

/** The members of an envelope that a narrowed message keeps. `tx` would tell of changes elsewhere. */
const envelope = ['resource', 'version', 'time', 'cause', 'id'] as const

/** The message's JSON text for a view; `undefined` where there is nothing in it for the page. */
export function project(entry: Entry, view: View): string | undefined {
  const visible = visibleOf(view.follows, entry.resource)
  if (visible === undefined) return undefined
  if (visible === 'all') return entry.text
  const message = JSON.parse(entry.text) as JsonObject
  const narrow: JsonObject = { event: message['event']! }
  for (const name of ['state', 'changes'] as const) {
    const content = message[name]
    if (content === undefined) continue
    const kept = pickFields(content as JsonObject, visible)
    // Only members that the page may not see have changed.
    if (name === 'changes' && Object.keys(kept).length === 0) return undefined
    narrow[name] = kept
  }
  for (const name of envelope) if (message[name] !== undefined) narrow[name] = message[name]
  return JSON.stringify(narrow)
}

/** The members that may be seen, in their order. */
export function pickFields(state: JsonObject, visible: Visible): JsonObject {
  if (visible === 'all') return state
  const kept: JsonObject = {}
  for (const [name, value] of Object.entries(state)) {
    if (visible?.has(name)) setMember(kept, name, value as Json)
  }
  return kept
}
