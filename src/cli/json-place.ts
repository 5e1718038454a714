/**
 * Places in JSON text: where the value of a JSON Pointer stands, where a name is repeated, and where a text stops
 * being JSON.
 *
 * All go over large files quickly.
 */

/** The offset of the pointer's value (of its name, for a member), or of the nearest one around it. The text MUST be JSON. */
export function findJsonOffset(text: string, names: readonly string[]): number {
  let offset = skipSpace(text, 0)
  let found = offset
  for (const name of names) {
    const inside =
      text[offset] === '{' ? findMember(text, offset, name) : findItem(text, offset, Number(name))
    if (inside === undefined) break
    found = inside.shown
    offset = inside.value
  }
  return found
}

interface Found {
  readonly shown: number
  readonly value: number
}

function findMember(text: string, open: number, name: string): Found | undefined {
  let at = skipSpace(text, open + 1)
  while (text[at] === '"') {
    const key = at
    at = skipString(text, at)
    const isIt = readString(text.slice(key, at)) === name
    const value = skipSpace(text, skipSpace(text, at) + 1)
    if (isIt) return { shown: key, value }
    at = skipSpace(text, skipValue(text, value))
    if (text[at] === ',') at = skipSpace(text, at + 1)
  }
  return undefined
}

function findItem(text: string, open: number, index: number): Found | undefined {
  if (text[open] !== '[') return undefined
  let at = skipSpace(text, open + 1)
  for (let count = 0; at < text.length && text[at] !== ']'; count++) {
    if (count === index) return { shown: at, value: at }
    at = skipSpace(text, skipValue(text, at))
    if (text[at] === ',') at = skipSpace(text, at + 1)
  }
  return undefined
}

function skipValue(text: string, start: number): number {
  let depth = 0
  let at = start
  do {
    const character = text[at]
    if (character === '"') at = skipString(text, at)
    else if (character === '{' || character === '[') {
      depth++
      at++
    } else if (character === '}' || character === ']') {
      depth--
      at++
    } else if (depth === 0) at = skip(text, at, /[^,\]}\s]*/y)
    else at = skip(text, at, /[^"{}[\]]*/y)
  } while (depth > 0 && at < text.length)
  return at
}

function skipString(text: string, start: number): number {
  return skip(text, start, /"(?:[^"\\]|\\.)*"/y)
}

function skipSpace(text: string, start: number): number {
  return skip(text, start, /\s*/y)
}

function skip(text: string, start: number, pattern: RegExp): number {
  pattern.lastIndex = start
  return pattern.test(text) ? pattern.lastIndex : text.length
}

/** A member whose name stands before it in the same object already. */
export interface RepeatedName {
  readonly offset: number
  /** The names and indexes that lead to it. */
  readonly names: readonly string[]
}

/**
 * The members that are named a second time, of which every parser of JSON would drop one without a word. The text MUST
 * be JSON of little depth.
 */
export function findRepeatedNames(text: string): RepeatedName[] {
  const found: RepeatedName[] = []
  const path: string[] = []
  const visitObject = (open: number): number => {
    const known = new Set<string>()
    let at = skipSpace(text, open + 1)
    while (text[at] === '"') {
      const key = at
      at = skipString(text, at)
      const name = readString(text.slice(key, at))
      path.push(name)
      if (known.has(name)) found.push({ offset: key, names: [...path] })
      known.add(name)
      at = skipSpace(text, visit(skipSpace(text, skipSpace(text, at) + 1)))
      path.pop()
      if (text[at] === ',') at = skipSpace(text, at + 1)
    }
    return at + 1
  }
  const visitArray = (open: number): number => {
    let at = skipSpace(text, open + 1)
    for (let index = 0; at < text.length && text[at] !== ']'; index++) {
      path.push(String(index))
      at = skipSpace(text, visit(at))
      path.pop()
      if (text[at] === ',') at = skipSpace(text, at + 1)
    }
    return at + 1
  }
  const visit = (at: number): number => {
    if (text[at] === '{') return visitObject(at)
    return text[at] === '[' ? visitArray(at) : skipValue(text, at)
  }
  visit(skipSpace(text, 0))
  return found
}

/** Few names have escapes in them. */
function readString(quoted: string): string {
  return quoted.includes('\\') ? (JSON.parse(quoted) as string) : quoted.slice(1, -1)
}

/** What is wrong with a text that is not JSON, and the offset where it shows. */
export function findJsonFault(text: string): { readonly offset: number; readonly reason: string } {
  const message = messageFor(text) ?? ''
  const reason = message.replace(/( in JSON)? at position .*$|(, \S*".*)? is not valid JSON$/s, '')
  return { offset: findFaultOffset(text), reason }
}

/** V8 names some places only; but the shortest beginning of the text that no end could mend ends with the fault. */
function findFaultOffset(text: string): number {
  let least = 0
  let most = text.length + 1
  while (least + 1 < most) {
    const middle = (least + most) >> 1
    if (isBeyondRepair(text.slice(0, middle))) most = middle
    else least = middle
  }
  return least
}

function isBeyondRepair(beginning: string): boolean {
  const message = messageFor(beginning)
  if (message === undefined) return false
  const position = /at position (\d+)/.exec(message)?.[1]
  return position === undefined
    ? !message.startsWith('Unexpected end')
    : Number(position) < beginning.length && !message.startsWith('Unterminated string')
}

function messageFor(text: string): string | undefined {
  try {
    JSON.parse(text)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}
