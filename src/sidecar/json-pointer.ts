/** A place in the JSON of an API, as RFC 6901 writes it: `/data/items`, or `''` for the whole. Pure. */
import { isJsonObject, type Json, LockstepError, quote } from '../contract/index.ts'

export type JsonPointer = readonly string[]

/** Errors: `invalid-option`. */
export function parsePointer(text: string): JsonPointer {
  if (text === '') return []
  if (!text.startsWith('/') || text.length > 1_000) {
    throw new LockstepError(
      'invalid-option',
      `${quote(text)} is no JSON Pointer. Write one such as "/data/items", or "" for the whole.`,
    )
  }
  return text
    .slice(1)
    .split('/')
    .map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** What is there; `undefined` where nothing is. */
export function readPointer(value: Json | undefined, pointer: JsonPointer): Json | undefined {
  let at = value
  for (const name of pointer) {
    if (Array.isArray(at)) at = /^\d{1,9}$/.test(name) ? at[Number(name)] : undefined
    else if (isJsonObject(at)) at = Object.hasOwn(at, name) ? at[name] : undefined
    else return undefined
  }
  return at
}

/** Takes away what is there, in place. */
export function removePointer(value: Json, pointer: JsonPointer): void {
  const holder = readPointer(value, pointer.slice(0, -1))
  if (isJsonObject(holder)) delete holder[pointer.at(-1)!]
}
