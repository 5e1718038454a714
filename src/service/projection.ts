/**
 * The projection ★: what the public sees of a state and of a change. Pure; the only place where anything is hidden.
 *
 * Whatever shows something to the public (a resource, a list, the feed, a message) takes it from here, so that no channel shows more than
 * another. A change is judged on the states before and after it, when it is written. PROTOCOL.md §13.
 */
import {
  type Fields,
  isEqualJson,
  isJsonObject,
  type Json,
  type JsonObject,
  matchesWhere,
  type PublicMark,
  selectFields,
  setMember,
} from '../contract/index.ts'
import type { Face } from './face.ts'

/** What the public sees of a state; `undefined` where it sees nothing. */
export function showState({ where, fields }: Face, state: JsonObject): JsonObject | undefined {
  if (!matchesWhere(state, where)) return undefined
  return fields === undefined ? state : selectFields(state, fields)
}

/** As {@link showState}, of JSON texts. */
export function showStateText(face: Face, stateText: string | undefined): string | undefined {
  if (stateText === undefined || (face.where.length === 0 && face.fields === undefined)) return stateText
  const shown = showState(face, JSON.parse(stateText) as JsonObject)
  return shown && JSON.stringify(shown)
}

/** What a change from one state to another is to the public. */
export function markOf(
  face: Face,
  beforeText: string | undefined,
  afterText: string | undefined,
): PublicMark {
  const show = (text: string | undefined): JsonObject | undefined =>
    text === undefined ? undefined : showState(face, JSON.parse(text) as JsonObject)
  const before = show(beforeText)
  const after = show(afterText)
  return { event: eventOf(before, after), rule: face.rule }
}

function eventOf(before: JsonObject | undefined, after: JsonObject | undefined): PublicMark['event'] {
  if (before === undefined) return after === undefined ? 'none' : 'created'
  if (after === undefined) return 'deleted'
  return isEqualJson(before, after) ? 'none' : 'modified'
}

/** What a message says to the public: its text, `undefined` for nothing, or that it cannot be told. */
export type Told = { readonly message: JsonObject } | undefined | 'untellable'

/** The members of an envelope that the public hears. `tx` would tell of changes elsewhere. */
const envelope = ['resource', 'version', 'time', 'cause'] as const

/**
 * Projects a message, without its id. One that was not judged by this declaration can be told where the face has no conditions; else
 * whether the public has the resource is not known.
 */
export function projectMessage(face: Face | undefined, message: JsonObject): Told {
  if (face === undefined) return undefined
  const mark = message['public'] as unknown as PublicMark | undefined
  const isJudged = mark?.rule === face.rule
  if (!isJudged && face.where.length > 0) return 'untellable'
  const event = isJudged ? mark.event : (message['event'] as PublicMark['event'])
  if (event === 'none') return undefined
  const told: JsonObject = { event }
  if (event !== 'deleted') {
    const { state, changes, ref } = message
    if (isJsonObject(changes)) {
      const kept = face.fields === undefined ? changes : projectPatch(changes, face.fields)
      if (Object.keys(kept).length === 0) return undefined
      told['changes'] = kept
    } else if (isJsonObject(state)) {
      told['state'] = face.fields === undefined ? state : selectFields(state, face.fields)
    } else if (ref === true) told['ref'] = true
  }
  for (const name of envelope) if (message[name] !== undefined) told[name] = message[name]
  return { message: told }
}

/** A merge patch of what the fields show of the state: what becomes of a member that is shown in part is shown in part. */
export function projectPatch(patch: JsonObject, fields: Fields): JsonObject {
  const result: JsonObject = {}
  for (const [name, value] of Object.entries(patch)) {
    if (!fields.has(name)) continue
    const inner = fields.get(name)
    setMember(result, name, inner === undefined ? value : projectValue(value, inner))
  }
  return result
}

function projectValue(value: Json, fields: Fields): Json {
  if (isJsonObject(value)) return projectPatch(value, fields)
  // What is neither object nor array is not shown: whatever was shown in its place goes.
  if (!Array.isArray(value)) return null
  return selectFields({ value }, new Map([['value', fields]]))['value'] ?? null
}

/** The state to be stored, from the one before and what the public makes of what it sees; hidden members stay. */
export function restoreHidden(
  { fields }: Face,
  before: JsonObject | undefined,
  shown: JsonObject,
): JsonObject {
  if (fields === undefined || before === undefined) return shown
  const state: JsonObject = {}
  for (const [name, value] of Object.entries(before)) {
    if (!fields.has(name)) setMember(state, name, value)
    else if (Object.hasOwn(shown, name)) setMember(state, name, shown[name]!)
  }
  for (const [name, value] of Object.entries(shown)) setMember(state, name, value)
  return state
}
