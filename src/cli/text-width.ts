/**
 * How many columns a text takes in a terminal, and cutting and padding by them.
 *
 * Wide are East Asian characters and emoji; combining marks take none. Terminals differ in rare cases only.
 */

// biome-ignore format: ranges read better in one line
const wide = /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u
const segmenter = new Intl.Segmenter(undefined, { granularity: 'grapheme' })

export function widthOf(text: string): number {
  // Nearly all text is ASCII.
  if (/^[\x20-\x7e]*$/.test(text)) return text.length
  let width = 0
  for (const { segment } of segmenter.segment(text)) width += graphemeWidth(segment)
  return width
}

/** Cuts a text to so many columns, with an ellipsis where something is left out. */
export function cut(text: string, columns: number): string {
  // A character takes a column or, combined, none: what is far too long need not be measured.
  const begin = text.slice(0, Math.max(0, columns) * 8 + 8)
  if (begin.length === text.length && widthOf(text) <= columns) return text
  if (columns <= 0) return ''
  let width = 0
  let kept = ''
  for (const { segment } of segmenter.segment(begin)) {
    width += graphemeWidth(segment)
    if (width > columns - 1) break
    kept += segment
  }
  return `${kept}…`
}

/** Cuts or fills a text to exactly so many columns. */
export function fit(text: string, columns: number): string {
  const shown = cut(text, columns)
  return shown + ' '.repeat(Math.max(0, columns - widthOf(shown)))
}

/** Texts in columns, three apart; the last one of a row may be as long as it likes. */
export function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [index, text] of row.slice(0, -1).entries()) {
      widths[index] = Math.max(widths[index] ?? 0, widthOf(text))
    }
  }
  return rows.map(row =>
    row.map((text, index) => (index === row.length - 1 ? text : fit(text, widths[index]!))).join('   '),
  )
}

function graphemeWidth(grapheme: string): number {
  if (wide.test(grapheme)) return 2
  return /^\p{Mark}/u.test(grapheme) ? 0 : 1
}
