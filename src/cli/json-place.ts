/**
 * Places in JSON text: where the value of a JSON Pointer stands, and where a text stops being JSON.
 *
 * Both are asked for only where there is a fault to show, and go over large files quickly.
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

/** A member that is named twice counts once, the last one. */
function findMember(text: string, open: number, name: string): Found | undefined {
  let found: Found | undefined
  let at = skipSpace(text, open + 1)
  while (text[at] === '"') {
    const key = at
    at = skipString(text, at)
    const isIt = JSON.parse(text.slice(key, at)) === name
    const value = skipSpace(text, skipSpace(text, at) + 1)
    if (isIt) found = { shown: key, value }
    at = skipSpace(text, skipValue(text, value))
    if (text[at] === ',') at = skipSpace(text, at + 1)
  }
  return found
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
