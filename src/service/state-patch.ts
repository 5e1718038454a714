/**
 * Patches as what they do to a state: a merge patch (RFC 7396) or a JSON Patch (RFC 6902), in all languages or in one.
 *
 * In one language a patch sees each translatable text as a plain one, and leaves the other languages as they are.
 * PROTOCOL.md §4.14 and §10.
 */
import {
  applyMergePatch,
  dropEmptyTexts,
  isJsonObject,
  type Json,
  type JsonObject,
  liftTexts,
  showLanguage,
  translatePatch,
  writeLanguage,
} from '../contract/index.ts'
import { applyJsonPatch, parseJsonPatch } from './json-patch.ts'
import { checkObject } from './mirror.ts'
import type { Resource } from './resource.ts'

/** Makes the state after from the one before, which it leaves as it is; throws where it does not fit. */
export type StatePatch = (before: JsonObject) => Json | undefined

/** Errors: `invalid-state` where the patch is no object, or does not write texts in the language. */
export function createMergePatch({ texts }: Resource<object>, body: Json, language?: string): StatePatch {
  const given = checkObject(body)
  if (texts.places.length === 0) return before => applyMergePatch(before, given)
  const patch = language === undefined ? given : translatePatch(given, texts, language)
  return before => dropEmptyTexts(applyMergePatch(liftTexts(before, texts), patch) as JsonObject, texts)
}

/** Errors: `invalid-patch`; of the patch: `patch-conflict`, `body-too-large`, and `invalid-state` as above. */
export function createJsonPatch(
  { texts, maxBodyBytes }: Resource<object>,
  body: Json,
  language?: string,
): StatePatch {
  const operations = parseJsonPatch(body)
  if (texts.places.length === 0) return before => applyJsonPatch(before, operations, maxBodyBytes)
  return before => {
    const whole = liftTexts(before, texts)
    if (language === undefined) return applyJsonPatch(whole, operations, maxBodyBytes)
    const after = applyJsonPatch(showLanguage(whole, texts, language).state, operations, maxBodyBytes)
    return isJsonObject(after) ? writeLanguage(whole, after, texts, language) : after
  }
}
