/**
 * The text of a served file, read as JSON or YAML, with the way back from a JSON Pointer to its line.
 *
 * Both give plain JSON values: what JSON cannot hold (infinity, integers that a double would change, tags, keys
 * that are no text), and a key that is there twice, is a fault and never silently altered.
 */
import { isLockstepError, type Json, LockstepError, parseJson } from 'lockstep/contract'
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml'
import { findJsonFault, findJsonOffset, findRepeatedNames } from './json-place.ts'

/** Lines and columns count from 1. */
export interface Place {
  readonly line: number
  readonly column: number
}

export interface ServedText {
  readonly value: Json
  /** Where the value of the pointer stands, or the nearest one around it. */
  placeOf(pointer: string): Place | undefined
}

/** What is wrong, and where: a JSON Pointer, a place in the text, or both. */
export interface PlacedFault {
  readonly place: Place | undefined
  readonly pointer?: string
  readonly detail: string
}

const repeatedName =
  'is here a second time; only one of both could be served. Put them together, or rename one'

/** So many faults are shown; the others are counted. */
export const shownFaults = 20

/** Reads the text by the ending of its file's name. Errors: `invalid-option` with every fault, its line and pointer. */
export function parseServedText(name: string, text: string): ServedText {
  if (/\.json$/i.test(name)) return parseJsonText(name, text.replace(/^\ufeff/, ''))
  if (/\.ya?ml$/i.test(name)) return parseYamlText(name, text)
  throw new LockstepError(
    'invalid-option',
    `The name of ${name} ends neither in .json nor in .yaml or .yml, so it is not clear how to read it. Rename it.`,
  )
}

/** The error that says the faults of a file in their order, each with line and pointer, and counts those left out. */
export function refuseText(name: string, faults: readonly PlacedFault[], leftOut = 0): LockstepError {
  const inOrder = faults.toSorted(
    (a, b) => (a.place?.line ?? 0) - (b.place?.line ?? 0) || (a.place?.column ?? 0) - (b.place?.column ?? 0),
  )
  const lines = inOrder.map(({ place, pointer = '', detail }) => {
    const where = place === undefined ? name : `${name}:${place.line}:${place.column}`
    return `  ${where}  ${pointer === '' ? '' : `${pointer}  `}${detail}`
  })
  if (leftOut > 0) lines.push(`  … and ${leftOut} more`)
  return new LockstepError('invalid-option', `${name} cannot be served:\n${lines.join('\n')}`)
}

export function splitPointer(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map(name => name.replaceAll('~1', '/').replaceAll('~0', '~'))
}

export function escapePointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}

function parseJsonText(name: string, text: string): ServedText {
  let value: Json
  try {
    value = parseJson(text)
  } catch (error) {
    throw refuseText(name, [describeJsonFault(text, error)])
  }
  const repeated = findRepeatedNames(text)
  if (repeated.length > 0) {
    const faults = repeated.slice(0, shownFaults).map(({ offset, names }) => ({
      place: placeIn(text, offset),
      pointer: names.map(name => `/${escapePointer(name)}`).join(''),
      detail: repeatedName,
    }))
    throw refuseText(name, faults, repeated.length - faults.length)
  }
  return { value, placeOf: pointer => placeIn(text, findJsonOffset(text, splitPointer(pointer))) }
}

function describeJsonFault(text: string, error: unknown): PlacedFault {
  if (text.trim() === '') return { place: undefined, detail: 'is empty' }
  if (isLockstepError(error, 'invalid-json')) {
    const { offset, reason } = findJsonFault(text)
    const isCut = offset >= text.trimEnd().length
    return {
      place: placeIn(text, offset),
      detail: isCut ? 'ends before the JSON is complete' : `is not JSON: ${reason}`,
    }
  }
  const { message } = error as Error
  const digits = isLockstepError(error, 'unsafe-number') ? /"(.+?)"/.exec(message)?.[1] : undefined
  const offset =
    digits === undefined ? -1 : text.search(new RegExp(`(?<![\\w.])${digits.replace(/[.+]/g, '\\$&')}`))
  return { place: offset === -1 ? undefined : placeIn(text, offset), detail: message }
}

function placeIn(text: string, offset: number): Place {
  const before = text.slice(0, offset)
  return { line: before.split('\n').length, column: offset - before.lastIndexOf('\n') }
}

interface YamlText {
  readonly document: Document
  readonly lines: LineCounter
}

function parseYamlText(name: string, text: string): ServedText {
  const lines = new LineCounter()
  // Integers come as bigint, so that those that a double would change are found.
  const options = {
    lineCounter: lines,
    intAsBigInt: true,
    merge: true,
    prettyErrors: false,
    logLevel: 'error',
  } as const
  const document: Document = parseDocument(text, options)
  const yaml: YamlText = { document, lines }
  const faults: PlacedFault[] = [...withoutEchoes(document.errors), ...document.warnings].map(
    ({ code, message, pos }) => ({
      place: placeInYaml(yaml, pos[0]),
      detail: yamlDetails[code] ?? message,
    }),
  )
  if (faults.length === 0) faults.push(...findForeignValues(yaml))
  if (faults.length > 0) {
    throw refuseText(name, faults.slice(0, shownFaults), Math.max(0, faults.length - shownFaults))
  }
  try {
    const toNumber = (_key: string, value: unknown): unknown =>
      typeof value === 'bigint' ? Number(value) : value
    const value = JSON.parse(JSON.stringify(document.toJS(), toNumber) ?? 'null') as Json
    return { value, placeOf: pointer => findYamlPlace(yaml, splitPointer(pointer)) }
  } catch (error) {
    const { message } = error as Error
    const isBomb = /alias count/i.test(message)
    const detail = isBomb ? 'repeats too much by its aliases ("*name"). Write out what is meant' : message
    throw refuseText(name, [{ place: undefined, detail }])
  }
}

/** Where the parser speaks to programmers, or of one of both keys only. */
const yamlDetails: Readonly<Record<string, string>> = {
  MULTIPLE_DOCS: 'begins a second document. A served file is one: take out the line "---", or make two files',
  DUPLICATE_KEY: repeatedName,
  UNEXPECTED_TOKEN: 'cannot stand here. A text with { } [ ] , # or a colon in it goes into quotes',
}

/** After a token in the wrong place the parser takes each further one for wrong: only the first says anything. */
function withoutEchoes(errors: Document['errors']): Document['errors'] {
  const first = errors.findIndex(({ code }) => code === 'UNEXPECTED_TOKEN')
  return errors.filter(({ code }, index) => index <= first || code !== 'UNEXPECTED_TOKEN')
}

function placeInYaml({ lines }: YamlText, offset: number | undefined): Place {
  const { line, col } = lines.linePos(offset ?? 0)
  return { line: Math.max(1, line), column: Math.max(1, col) }
}

function findYamlPlace(yaml: YamlText, names: readonly string[]): Place | undefined {
  let node = yaml.document.contents as Node | null
  let offset = node?.range?.[0]
  for (const name of names) {
    if (isAlias(node)) node = node.resolve(yaml.document) ?? null
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === name)
      // A member that is merged in stands elsewhere: its object is the nearest place.
      if (pair === undefined) break
      offset = (pair.key as Node).range?.[0]
      node = pair.value as Node | null
    } else if (isSeq(node) && node.items[Number(name)] !== undefined) {
      node = node.items[Number(name)] as Node
      offset = node.range?.[0]
    } else break
  }
  return offset === undefined ? undefined : placeInYaml(yaml, offset)
}

/** Numbers that JSON would change or not take, keys that are no text, references to nothing. */
function findForeignValues(yaml: YamlText): PlacedFault[] {
  const faults: PlacedFault[] = []
  const around: unknown[] = []
  const visit = (node: unknown, pointer: string): void => {
    around.push(node)
    look(node, pointer)
    around.pop()
  }
  const look = (node: unknown, pointer: string): void => {
    const refuse = (at: Node, detail: string): void => {
      faults.push({ place: placeInYaml(yaml, at.range?.[0]), pointer, detail })
    }
    if (isMap(node)) {
      for (const { key, value } of node.items) {
        if (isScalar(key) && typeof key.value === 'symbol') {
          if (!isMergeable(value, yaml.document)) refuse(key, mergeDetail)
          visit(value, pointer)
        } else if (isScalar(key)) visit(value, `${pointer}/${escapePointer(String(key.value))}`)
        else refuse(key as Node, 'has a key that is neither a text nor a number')
      }
    } else if (isSeq(node)) {
      for (const [index, item] of node.items.entries()) visit(item, `${pointer}/${index}`)
    } else if (isAlias(node)) {
      const target = node.resolve(yaml.document)
      if (target === undefined) refuse(node, `names the anchor ${node.source}, which is not there`)
      else if (around.includes(target))
        refuse(node, `is the alias of what it stands in, *${node.source}, without an end`)
    } else if (isScalar(node) && isForeignNumber(node.value)) {
      refuse(
        node,
        `is ${node.source ?? node.value}, which cannot be held exactly. Write it as a text, in quotes`,
      )
    }
  }
  visit(yaml.document.contents, '')
  return faults
}

const mergeDetail =
  'merges what is no object. Give "<<" an alias of an object, such as *name, or a list of them'

/** May it stand behind the key `<<`? */
function isMergeable(value: unknown, document: Document): boolean {
  const isObject = (node: unknown): boolean => isMap(isAlias(node) ? (node.resolve(document) ?? node) : node)
  // What names nothing is told of by itself.
  const isLost = (node: unknown): boolean => isAlias(node) && node.resolve(document) === undefined
  const sources = isSeq(value) ? value.items : [value]
  return sources.every(node => isObject(node) || isLost(node))
}

function isForeignNumber(value: unknown): boolean {
  if (typeof value === 'bigint') return !Number.isSafeInteger(Number(value))
  return typeof value === 'number' && !Number.isFinite(value)
}
