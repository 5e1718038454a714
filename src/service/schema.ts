/**
 * JSON Schemas of representations: checked when they are declared, compiled once, and what a state does against them.
 */
import { Compile, Errors, Meta, type XSchema } from 'typebox/schema'
import { Settings } from 'typebox/system'
import {
  type Fault,
  isJsonObject,
  type JsonObject,
  LockstepError,
  quote,
  type Texts,
} from '../contract/index.ts'
import { readTranslatable } from './translatable.ts'

export interface CompiledSchema {
  /** As it was declared, with `type: object`, the `id`, and maps of languages for translatable texts. */
  readonly schema: Readonly<JsonObject>
  readonly texts: Texts
  /** The faults of a state, at most 100; `[]` where it fits. */
  validate(state: JsonObject): readonly Fault[]
}

const metaSchemaId = 'https://json-schema.org/draft/2020-12/schema'
const faultLimit = 100

/** Compiles the schema of a resource's representations. Errors: `invalid-option` where it is none. */
export function compileSchema(
  template: string,
  schema: XSchema,
  languages: readonly string[] = [],
): CompiledSchema {
  const refuse = (reason: string, cause?: unknown): LockstepError =>
    new LockstepError('invalid-option', `The schema of ${quote(template)} cannot be used: ${reason}.`, {
      cause,
    })
  let declared: JsonObject
  try {
    declared = JSON.parse(JSON.stringify(schema)) as JsonObject
  } catch (cause) {
    throw refuse('it is not JSON', cause)
  }
  if (!isJsonObject(declared)) throw refuse('it is not an object')
  // The compiler takes what it does not understand for no restriction at all.
  const [fault] = readFaults(Meta[metaSchemaId], declared)
  if (fault !== undefined) throw refuse(`${fault.pointer} ${fault.detail}`)
  const missing = findOpenReference(declared)
  if (missing !== undefined) throw refuse(`it refers to ${quote(missing)}, which is not in it`)
  const { schema: stored, texts } = readTranslatable(template, declared, languages)
  const { type = 'object', properties = {} } = stored
  if (type !== 'object') throw refuse(`its type is ${JSON.stringify(type)}; a representation is an object`)
  const { id = { type: 'string' } } = properties as JsonObject
  if (!mayBeString(id)) throw refuse('its "id" cannot be a string')
  // Without the id, a schema with `additionalProperties: false` would refuse what every representation has.
  const whole = { ...stored, type, properties: { ...(properties as JsonObject), id } }
  const compiled = whole as unknown as XSchema
  try {
    const validator = Compile(compiled)
    const validate = (state: JsonObject): readonly Fault[] =>
      validator.Check(state) ? [] : readFaults(compiled, state).map(each => explainText(each, texts))
    return { schema: whole, texts, validate }
  } catch (cause) {
    throw refuse(`it cannot be compiled (${String(cause)})`, cause)
  }
}

/** That a text is a map is nothing that its author wrote down: it is said how to write one. */
function explainText(fault: Fault, { places, languages }: Texts): Fault {
  if (fault.detail !== 'must be object') return fault
  if (!places.some(place => fault.pointer === `/${place.join('/')}`)) return fault
  const [first] = languages
  return {
    ...fault,
    detail: `must be a map of languages, {"${first}": "…"}, or be written with ?lang=${first}`,
  }
}

/** Values that are data, whatever they look like. */
const dataKeywords = new Set(['const', 'enum', 'default', 'examples'])

/** The first `$ref` to what is not in the schema; the compiler would let anything pass there. */
function findOpenReference(schema: JsonObject): string | undefined {
  const references: string[] = []
  const ids: string[] = [metaSchemaId]
  const anchors: string[] = []
  const visit = (value: JsonObject[string]): void => {
    if (Array.isArray(value)) for (const item of value) visit(item)
    if (!isJsonObject(value)) return
    for (const [name, member] of Object.entries(value)) {
      if (typeof member !== 'string') {
        if (!dataKeywords.has(name)) visit(member)
      } else if (name === '$ref' || name === '$dynamicRef') references.push(member)
      else if (name === '$id') ids.push(member)
      else if (name === '$anchor' || name === '$dynamicAnchor') anchors.push(member)
    }
  }
  visit(schema)
  return references.find(reference => {
    const [base, fragment = ''] = reference.split('#', 2) as [string, string?]
    // A relative reference is resolved against the $id around it, so its end is all that can be compared.
    if (base !== '') return !ids.some(id => id.endsWith(base))
    if (fragment === '') return false
    if (!fragment.startsWith('/')) return !anchors.includes(fragment)
    return ids.length === 1 && !hasPointer(schema, fragment)
  })
}

/** Does the pointer (RFC 6901, percent-encoded) lead to something? */
function hasPointer(schema: JsonObject, fragment: string): boolean {
  let value: unknown = schema
  for (const part of fragment.slice(1).split('/')) {
    const name = part
      .replace(/%[0-9A-Fa-f]{2}/g, decodeURIComponent)
      .replaceAll('~1', '/')
      .replaceAll('~0', '~')
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return false
    value = (value as Record<string, unknown>)[name]
  }
  return true
}

function mayBeString(schema: JsonObject[string]): boolean {
  if (!isJsonObject(schema)) return schema === true
  const { type = 'string' } = schema
  return [type].flat().includes('string')
}

/** At least one fault of a value that does not fit. Each pointer names the member at fault, also a missing one. */
function readFaults(schema: XSchema, value: JsonObject): Fault[] {
  const [fits, errors] = listErrors(schema, value)
  if (fits) return []
  const faults = errors.flatMap(({ keyword, params, schemaPath, instancePath, message }): Fault[] => {
    switch (keyword) {
      case 'required':
        return params.requiredProperties.map(name => faultOf(instancePath, name, 'is required'))
      case 'unevaluatedProperties':
        return params.unevaluatedProperties.map(name =>
          faultOf(instancePath, String(name), 'is not a known member'),
        )
      case 'boolean': {
        const isUnknown = schemaPath.endsWith('/additionalProperties')
        return [{ pointer: instancePath, detail: isUnknown ? 'is not a known member' : 'is not allowed' }]
      }
      // The errors of the additional members themselves came before.
      case 'additionalProperties':
        return []
      default:
        return [{ pointer: instancePath, detail: message }]
    }
  })
  return faults.length > 0
    ? faults.slice(0, faultLimit)
    : [{ pointer: '', detail: 'does not fit the schema' }]
}

/** TypeBox stops after 8 errors, which for a form is too early; its limit can only be set for all. */
function listErrors(schema: XSchema, value: JsonObject): ReturnType<typeof Errors> {
  const { maxErrors } = Settings.Get()
  Settings.Set({ maxErrors: faultLimit })
  try {
    return Errors(schema, value)
  } finally {
    Settings.Set({ maxErrors })
  }
}

function faultOf(pointer: string, name: string, detail: string): Fault {
  return { pointer: `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`, detail }
}
