/**
 * Texts in several languages, as a schema declares them: `{ type: 'string', maxLength: 200, translatable: true }`.
 *
 * What is stored there is a map of languages, so the compiled schema says so, with the text's own restrictions for each
 * of them. Texts stand in members of objects, not in arrays: a text in an array has no place that stays. PROTOCOL.md §10.
 */
import {
  isJsonObject,
  isLanguageTag,
  type Json,
  type JsonObject,
  LockstepError,
  type MemberPath,
  quote,
  setMember,
  type Texts,
} from '../contract/index.ts'

/** The type of a schema in which each translatable text is a map of the languages. */
export type StoredSchema<Schema, Language extends string> = [Language] extends [never]
  ? Schema
  : Schema extends { readonly type: 'string'; readonly translatable: true }
    ? LanguageMapSchema<Language>
    : { [Name in keyof Schema]: StoredSchema<Schema[Name], Language> }

interface LanguageMapSchema<Language extends string> {
  type: 'object'
  additionalProperties: false
  properties: { [Tag in Language]: { type: 'string' } }
}

/** A schema as it is compiled, and where its texts are. */
export interface TranslatableSchema {
  readonly schema: JsonObject
  readonly texts: Texts
}

const maxLanguages = 100
const schemaMaps = new Set(['properties', 'patternProperties', 'dependentSchemas', '$defs', 'definitions'])
const data = new Set(['const', 'enum', 'default', 'examples'])

/** Errors: `invalid-option` for languages that are none, and for texts where none can be. */
export function readTranslatable(
  template: string,
  schema: JsonObject,
  languages: readonly string[],
): TranslatableSchema {
  checkLanguages(template, languages)
  const places: MemberPath[] = []
  const rewritten = rewrite(schema, [], place => {
    if (place === undefined || place.length === 0 || (place.length === 1 && place[0] === 'id')) {
      throw refuse(template, 'A translatable text stands in the properties of an object, and is not the id')
    }
    if (languages.length === 0) {
      throw refuse(template, `Its ${quote(place.join('/'))} is translatable: say languages: ["en", "fr"] too`)
    }
    if (!places.some(other => other.join('/') === place.join('/'))) places.push(place)
    return languages
  }) as JsonObject
  if (languages.length > 0 && places.length === 0) {
    throw refuse(
      template,
      'It has languages but no text in them: mark one in its schema, { type: "string", translatable: true }',
    )
  }
  return { schema: places.length === 0 ? schema : rewritten, texts: { languages: [...languages], places } }
}

/** Called where a text is; `undefined` where it is in what has no place. Gives the languages. */
type Mark = (place: MemberPath | undefined) => readonly string[]

function rewrite(schema: Json, place: MemberPath | undefined, mark: Mark): Json {
  if (Array.isArray(schema)) return schema.map(each => rewrite(each, undefined, mark))
  if (!isJsonObject(schema)) return schema
  if (schema['translatable'] === true && schema['type'] === 'string') {
    return languageMap(schema, mark(place))
  }
  const result: JsonObject = {}
  for (const [name, value] of Object.entries(schema)) {
    setMember(result, name, data.has(name) ? value : rewriteKeyword(name, value, place, mark))
  }
  return result
}

function rewriteKeyword(name: string, value: Json, place: MemberPath | undefined, mark: Mark): Json {
  if (name === 'allOf' && Array.isArray(value)) return value.map(each => rewrite(each, place, mark))
  if (!schemaMaps.has(name) || !isJsonObject(value)) return rewrite(value, undefined, mark)
  const result: JsonObject = {}
  for (const [key, schema] of Object.entries(value)) {
    const inner = name === 'properties' && place !== undefined ? [...place, key] : undefined
    setMember(result, key, rewrite(schema, inner, mark))
  }
  return result
}

/** What annotates the text stays with the map, what restricts it goes to each language. */
function languageMap(text: JsonObject, languages: readonly string[]): JsonObject {
  const { title, description, translatable, ...restrictions } = text
  const annotations = Object.entries({ title, description }).filter(([, value]) => value !== undefined)
  return {
    ...(Object.fromEntries(annotations) as JsonObject),
    type: 'object',
    translatable: translatable!,
    minProperties: 1,
    additionalProperties: false,
    properties: Object.fromEntries(languages.map(tag => [tag, restrictions])),
  }
}

function checkLanguages(template: string, languages: readonly string[]): void {
  const isList = Array.isArray(languages) && languages.length <= maxLanguages
  const isUsable = isList && languages.every(tag => typeof tag === 'string' && isLanguageTag(tag))
  if (isUsable && new Set(languages.map(tag => tag.toLowerCase())).size === languages.length) return
  throw refuse(
    template,
    `Its languages are ${quote(JSON.stringify(languages))}: give at most ${maxLanguages} different tags, the default first, such as ["en", "fr"]`,
  )
}

function refuse(template: string, reason: string): LockstepError {
  return new LockstepError('invalid-option', `The resource ${quote(template)} cannot be used. ${reason}.`)
}
