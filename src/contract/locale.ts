/**
 * Languages: reading what a client asks for, and choosing among those that there are (RFC 4647 §3.4, lookup).
 *
 * Lookup cuts a range from its end until it is a language that there is: `fr-CH` finds `fr`, but `fr` never finds
 * `fr-CH`. Tags are compared without regard to case. PROTOCOL.md §10.
 */

/** The longest list of ranges that is looked at; what stands behind is ignored. */
const maxRanges = 32
const tagPattern = /^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,7}$/
const rangePattern =
  /^\s*(\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,15})\s*(?:;\s*[qQ]\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?$/

/** Can it be the tag of a language, such as `en` or `zh-Hant`? Only its form is looked at (RFC 5646 §2.1). */
export function isLanguageTag(text: string): boolean {
  return tagPattern.test(text)
}

/**
 * The language ranges of an `Accept-Language` field, the most wanted first. A range of weight 0, and what cannot be
 * read, is left out: such a field is a wish and never an error (RFC 9110 §12.5.4).
 */
export function parseLanguageRanges(field: string): readonly string[] {
  const ranges = field.split(',', maxRanges).flatMap(item => {
    const [, range, weight = '1'] = rangePattern.exec(item) ?? []
    return range === undefined || Number(weight) === 0 ? [] : [{ range, weight: Number(weight) }]
  })
  return ranges.sort((a, b) => b.weight - a.weight).map(({ range }) => range)
}

/** The first available language that one of the ranges leads to; `*` leads to none. `undefined` where none does. */
export function lookupLanguage(ranges: readonly string[], available: readonly string[]): string | undefined {
  for (const range of ranges) {
    for (let wanted = range.toLowerCase(); wanted !== ''; wanted = shorten(wanted)) {
      const found = available.find(tag => tag.toLowerCase() === wanted)
      if (found !== undefined) return found
    }
  }
  return undefined
}

/** Without its last subtag, nor a single letter or digit that would then stand at the end: it only introduces what follows it. */
function shorten(range: string): string {
  const end = range.lastIndexOf('-')
  if (end === -1) return ''
  const rest = range.slice(0, end)
  return rest.at(-2) === '-' ? rest.slice(0, -2) : rest
}
