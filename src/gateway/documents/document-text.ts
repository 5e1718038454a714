/**
 * The text of an API document, JSON or YAML, read with suspicion: it comes from a program that is not ours.
 *
 * YAML without tags and with a cap on what its aliases make, nesting within a limit, nothing but plain JSON values.
 */
import { parseDocument as parseYaml } from 'yaml'
import { isJsonObject, type Json, type JsonObject, LockstepError, quote } from '../../contract/index.ts'

/** The largest document. */
export const maxDocumentBytes = 33_554_432
/** So deep may a document be nested; those of real APIs stay below 50. */
const maxDepth = 256
/** How often an alias of YAML may be used; far more than anybody writes, far less than a bomb needs. */
const maxAliasCount = 1_000

/** Reads a document. Errors: `invalid-json`, `json-too-deep`, `body-too-large`. `name` says in them which. */
export function parseDocumentText(name: string, text: string): JsonObject {
  if (text.length > maxDocumentBytes) {
    throw new LockstepError('body-too-large', `${name} has over ${maxDocumentBytes} characters.`)
  }
  const plain = text.replace(/^\ufeff/, '')
  const value = /^\s*[{[]/.test(plain) ? (tryJson(plain) ?? readYaml(name, plain)) : readYaml(name, plain)
  if (!isJsonObject(value))
    throw new LockstepError('invalid-json', `${name} is no document: it is no object.`)
  checkDepth(name, value)
  return value
}

function tryJson(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json
  } catch {
    // YAML takes more than JSON, and says better where the fault is.
    return undefined
  }
}

function readYaml(name: string, text: string): Json {
  // A key that is there twice counts once, the last one, as in JSON; real documents have them.
  const options = { schema: 'core', uniqueKeys: false, logLevel: 'silent', stringKeys: true } as const
  const document = parseYaml(text, options)
  const [fault] = [...document.errors, ...document.warnings]
  if (fault !== undefined) {
    throw new LockstepError('invalid-json', `${name} cannot be read: ${fault.message.split('\n', 1)[0]}`)
  }
  try {
    return JSON.parse(JSON.stringify(document.toJS({ maxAliasCount })) ?? 'null') as Json
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new LockstepError('invalid-json', `${name} cannot be read: ${quote(reason)}.`, { cause })
  }
}

function checkDepth(name: string, root: JsonObject): void {
  let level: Json[] = [root]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > maxDepth) {
      throw new LockstepError('json-too-deep', `${name} is nested over ${maxDepth} levels.`)
    }
    level = level
      .flatMap(value => Object.values(value as JsonObject))
      .filter(value => typeof value === 'object' && value !== null)
  }
}
