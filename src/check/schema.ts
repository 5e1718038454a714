/** Values against the JSON Schemas of a document, whose references lead into the document itself. */
import { Compile, Errors, type XSchema } from 'typebox/schema'
import { isJsonObject, type Json, type JsonObject } from '../contract/index.ts'

/** The faults of a value, each as "pointer: what"; `[]` where it fits. */
export type Validate = (value: Json) => readonly string[]

const maxFaults = 4

/** Compiles a schema that may refer to `#/components/…` of its document. What cannot be compiled says so of every value. */
export function compileSchema(schema: JsonObject, document: JsonObject = {}): Validate {
  const components = document['components']
  const whole = (components === undefined ? schema : { ...schema, components }) as unknown as XSchema
  try {
    const validator = Compile(whole)
    return value => {
      if (validator.Check(value)) return []
      const [, errors] = Errors(whole, value)
      const faults = errors
        .slice(0, maxFaults)
        .map(({ instancePath, message }) => `${instancePath || 'it'} ${message}`)
      return faults.length > 0 ? faults : ['it does not fit']
    }
  } catch (error) {
    return () => [`the schema itself cannot be used: ${String(error)}`]
  }
}

/** Follows `$ref` of local pointers, at most so often as somebody would write them. */
export function resolveReference(document: JsonObject, value: Json | undefined): JsonObject | undefined {
  let current = value
  for (let step = 0; step < 16 && isJsonObject(current); step++) {
    const reference = current['$ref']
    if (typeof reference !== 'string') return current
    current = findByPointer(document, reference)
  }
  return undefined
}

function findByPointer(document: JsonObject, reference: string): Json | undefined {
  if (!reference.startsWith('#/')) return undefined
  let current: Json | undefined = document
  for (const part of reference.slice(2).split('/')) {
    const name = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof current !== 'object' || current === null) return undefined
    current = (current as JsonObject)[name]
  }
  return current
}
