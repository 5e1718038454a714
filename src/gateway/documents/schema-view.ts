/** Schemas as lists of members: what anybody needs to know of a type, in words. References lead to the type's own place. */
import { isJsonObject, type Json, type JsonObject } from '../../contract/index.ts'
import { type Content, type Html, html } from './html.ts'
import { renderMarkdown } from './markdown.ts'
import { follow } from './reference-walk.ts'
import { objectOf } from './site.ts'

export interface SchemaPlaces {
  readonly document: JsonObject
  /** By the name of a component: where it is shown. */
  readonly schemas: ReadonlyMap<string, string>
}

/** What is shown inside of each other; deeper down a type is named only. */
const maxDepth = 4
/** Of one schema. */
const maxMembers = 300

/** The members of a schema, one level of a named type opened. */
export function renderSchema(places: SchemaPlaces, schema: Json | undefined, depth = 0): Html {
  const name = nameOfReference(schema)
  const found = follow(places.document, schema)
  if (found === undefined) return html`<p class="type">not described</p>`
  const inner = isJsonObject(found) ? renderInside(places, found, depth) : html``
  return html`<div class="schema"><p class="type">${renderType(places, schema)}${renderLimits(found)}</p>${
    name === undefined || depth === 0 ? inner : ''
  }${depth === 0 && name === undefined ? renderFirstNamed(places, found) : ''}</div>`
}

/** The members of what a list holds, or of the first of several types. */
function renderFirstNamed(places: SchemaPlaces, schema: Json): Content {
  const { items, anyOf, oneOf } = objectOf(schema)
  const list = anyOf ?? oneOf
  const first = items ?? (Array.isArray(list) ? list[0] : undefined)
  if (first === undefined) return ''
  const name = nameOfReference(first)
  if (name === undefined) return renderFirstNamed(places, first)
  const found = follow(places.document, first)
  if (!isJsonObject(found ?? null)) return ''
  return html`<details><summary>${shortName(name)}</summary>${renderInside(places, found as JsonObject, 1)}</details>`
}

/** Without the service. */
function shortName(name: string): string {
  return name.replace(/^[^.]*\.(?=.)/, '')
}

function renderInside(places: SchemaPlaces, schema: JsonObject, depth: number): Html {
  if (depth > maxDepth) return html``
  const members = renderMembers(places, schema, depth)
  const lists = (['allOf', 'oneOf', 'anyOf'] as const).flatMap(name => {
    const list = schema[name]
    // What is named is in the line of the type already.
    const isNamedOnly =
      Array.isArray(list) && list.length <= 4 && list.every(each => nameOfReference(each) !== undefined)
    return Array.isArray(list) && list.length > 0 && !isNamedOnly ? [{ words: words[name], list }] : []
  })
  const items = schema['items']
  return html`${members}${
    items === undefined || nameOfReference(items) !== undefined || !isComplex(items)
      ? ''
      : html`<div class="inside"><p class="note">Each item:</p>${renderSchema(places, items, depth + 1)}</div>`
  }${lists.map(
    ({ words, list }) =>
      html`<div class="inside"><p class="note">${words}</p><ul class="alternatives">${list
        .slice(0, 50)
        .map(each => html`<li>${renderSchema(places, each, depth + 1)}</li>`)}</ul></div>`,
  )}`
}

const words = { allOf: 'All of:', oneOf: 'One of:', anyOf: 'Any of:' } as const

function renderMembers(places: SchemaPlaces, schema: JsonObject, depth: number): Html {
  const properties = Object.entries(objectOf(schema['properties']))
  const required = new Set(Array.isArray(schema['required']) ? schema['required'] : [])
  const { additionalProperties, description } = schema
  const text = depth === 0 ? renderMarkdown(description) : html``
  const others =
    isJsonObject(additionalProperties ?? null) && Object.keys(additionalProperties as JsonObject).length > 0
      ? html`<div class="member"><dt><code>…</code> <span class="type">${renderType(places, additionalProperties)}</span></dt><dd><p>Any other member.</p></dd></div>`
      : ''
  if (properties.length === 0 && others === '') return text
  return html`${text}<dl class="members">${properties
    .slice(0, maxMembers)
    .map(([name, member]) => renderMember(places, name, member, required.has(name), depth))}${others}</dl>`
}

function renderMember(
  places: SchemaPlaces,
  name: string,
  member: Json,
  isRequired: boolean,
  depth: number,
): Html {
  const schema = objectOf(member)
  const audience = schema['x-lockstep-audience']
  const flags = [
    isRequired ? html` <span class="flag required">required</span>` : '',
    schema['deprecated'] === true ? html` <span class="flag">deprecated</span>` : '',
    schema['readOnly'] === true ? html` <span class="flag">read only</span>` : '',
    schema['writeOnly'] === true ? html` <span class="flag">write only</span>` : '',
    typeof audience === 'string' ? html` <span class="flag">${audience}</span>` : '',
  ]
  const isNamed = nameOfReference(member) !== undefined
  const inner =
    isNamed || depth >= maxDepth || !isComplex(member) ? '' : renderInside(places, schema, depth + 1)
  return html`<div class="member"><dt><code>${name}</code> <span class="type">${renderType(places, member)}${renderLimits(member)}</span>${flags}</dt><dd>${renderMarkdown(schema['description'])}${inner}</dd></div>`
}

function isComplex(schema: Json): boolean {
  if (!isJsonObject(schema)) return false
  return (
    ['properties', 'allOf', 'oneOf', 'anyOf'].some(name => name in schema) ||
    (schema['items'] !== undefined && isComplex(schema['items']))
  )
}

/** `integer`, `array of Person`, `string or null`. */
export function renderType(places: SchemaPlaces, schema: Json | undefined): Content {
  const name = nameOfReference(schema)
  if (name !== undefined) {
    const href = places.schemas.get(name)
    return href === undefined ? shortName(name) : html`<a href="${href}">${shortName(name)}</a>`
  }
  if (schema === true || schema === undefined) return 'anything'
  if (schema === false) return 'nothing'
  const { type, items, const: value, enum: values, format, oneOf, anyOf, allOf } = objectOf(schema)
  if (value !== undefined) return html`<code>${JSON.stringify(value)}</code>`
  const types = [type ?? []].flat().map(String)
  if (types.includes('array') || (items !== undefined && types.length === 0))
    return [
      html`array of ${renderType(places, items)}`,
      ...types.filter(each => each !== 'array').map(each => ` or ${each}`),
    ]
  for (const list of [oneOf, anyOf, allOf]) {
    if (!Array.isArray(list) || list.length === 0 || types.length > 0) continue
    const joint = list === allOf ? ' and ' : ' or '
    return list.slice(0, 4).map((each, index) => [index > 0 && joint, renderType(places, each)])
  }
  if (types.length === 0) return Array.isArray(values) ? 'one of' : 'anything'
  return `${types.join(' or ')}${typeof format === 'string' ? ` (${format})` : ''}`
}

const limits: readonly (readonly [keyword: string, words: string])[] = [
  ['minimum', '≥ '],
  ['exclusiveMinimum', '> '],
  ['maximum', '≤ '],
  ['exclusiveMaximum', '< '],
  ['multipleOf', 'a multiple of '],
  ['minLength', 'at least '],
  ['maxLength', 'at most '],
  ['minItems', 'items ≥ '],
  ['maxItems', 'items ≤ '],
  ['pattern', 'like '],
  ['default', 'default '],
]

function renderLimits(schema: Json | undefined): Content {
  const object = objectOf(schema)
  const shown: Content[] = limits.flatMap(([keyword, words]) => {
    const value = object[keyword]
    if (value === undefined || (typeof value === 'object' && value !== null)) return []
    const unit = /Length$/.test(keyword) ? ' characters' : ''
    return [html`<span class="limit">${words}<code>${String(value)}</code>${unit}</span>`]
  })
  const values = object['enum']
  if (Array.isArray(values)) {
    const more = values.length > 30 ? ` … ${values.length - 30} more` : ''
    shown.push(
      html`<span class="limit">${values.slice(0, 30).map(value => html`<code>${JSON.stringify(value)}</code> `)}${more}</span>`,
    )
  }
  return shown.length === 0 ? '' : html` ${shown}`
}

function nameOfReference(schema: Json | undefined): string | undefined {
  const { $ref } = objectOf(schema)
  const [, name] = typeof $ref === 'string' ? (/^#\/components\/schemas\/([^/]+)$/.exec($ref) ?? []) : []
  return name === undefined ? undefined : name.replaceAll('~1', '/').replaceAll('~0', '~')
}
