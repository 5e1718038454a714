/**
 * Descriptions as HTML: a small subset of Markdown, from which nothing but these elements can come.
 *
 * Paragraphs, headings, lists, tables, quotes, code, emphasis, links. Of HTML inside the text the few tags that
 * people write into descriptions are read as what they mean, and every other tag is shown as text.
 */
import { escapeHtml, Html, safeUrl } from './html.ts'

const maxChars = 200_000

/** Where text stands in a line, or as blocks. */
export function renderMarkdown(text: unknown): Html {
  if (typeof text !== 'string' || text.trim() === '') return new Html('')
  return new Html(renderBlocks(plainTags(text.slice(0, maxChars)).replaceAll('\r\n', '\n').split('\n')))
}

/** Of a description its first sentence or line, as a text. */
export function firstLine(text: unknown): string {
  if (typeof text !== 'string') return ''
  const line = plainTags(text).trim().split(/\n/, 1)[0] ?? ''
  return line.replaceAll(/[*_`#]|\[([^\]]*)\]\([^)]*\)/g, '$1').slice(0, 200)
}

/** The tags that stand for something in Markdown. */
function plainTags(text: string): string {
  return text
    .replaceAll(/!\[([^[\]]{0,200})\]\([^()]{0,2000}\)/g, '$1')
    .replaceAll(/<\/?(?:p|div|ul|ol)>|<br\s*\/?>/gi, '\n')
    .replaceAll(/<li>/gi, '\n- ')
    .replaceAll(/<\/li>/gi, '\n')
    .replaceAll(/<\/?(?:strong|b)>/gi, '**')
    .replaceAll(/<\/?(?:em|i)>/gi, '*')
    .replaceAll(/<\/?code>/gi, '`')
    .replaceAll(/<a\s+href="([^"<>\s]{1,2000})"[^<>]{0,200}>([^<>]{0,500})<\/a>/gi, '[$2]($1)')
}

function renderBlocks(lines: readonly string[]): string {
  const blocks: string[] = []
  let index = 0
  while (index < lines.length) {
    const line = lines[index]!
    const fence = /^\s*(```+|~~~+)/.exec(line)?.[1]
    if (line.trim() === '') index++
    else if (fence !== undefined) {
      const end = lines.findIndex((other, at) => at > index && other.trim().startsWith(fence))
      const last = end === -1 ? lines.length : end
      blocks.push(`<pre><code>${escapeHtml(lines.slice(index + 1, last).join('\n'))}</code></pre>`)
      index = last + 1
    } else if (/^#{1,6}\s/.test(line)) {
      blocks.push(`<p class="heading">${renderInline(line.replace(/^#+\s*|\s*#+\s*$/g, ''))}</p>`)
      index++
    } else if (isListItem(line)) index = takeList(lines, index, blocks)
    else if (isTable(lines, index)) index = takeTable(lines, index, blocks)
    else index = takeParagraph(lines, index, blocks)
  }
  return blocks.join('\n')
}

function isListItem(line: string): boolean {
  return /^\s{0,8}(?:[-*+]|\d{1,3}[.)])\s+\S/.test(line)
}

function takeList(lines: readonly string[], start: number, blocks: string[]): number {
  const items: string[] = []
  let index = start
  for (; index < lines.length; index++) {
    const line = lines[index]!
    if (isListItem(line)) items.push(line.replace(/^\s*(?:[-*+]|\d+[.)])\s+/, ''))
    else if (/^\s+\S/.test(line)) items[items.length - 1] += ` ${line.trim()}`
    else break
  }
  const tag = /^\s*\d/.test(lines[start]!) ? 'ol' : 'ul'
  blocks.push(`<${tag}>${items.map(item => `<li>${renderInline(item)}</li>`).join('')}</${tag}>`)
  return index
}

function isTable(lines: readonly string[], index: number): boolean {
  return lines[index]!.includes('|') && /^\s*\|?[\s:|-]*-[\s:|-]*\|?\s*$/.test(lines[index + 1] ?? '')
}

function takeTable(lines: readonly string[], start: number, blocks: string[]): number {
  const end = lines.findIndex((line, index) => index > start && !line.includes('|'))
  const rows = lines.slice(start, end === -1 ? lines.length : end).map(line =>
    line
      .trim()
      .replace(/^\||\|$/g, '')
      .split('|')
      .map(cell => renderInline(cell.trim())),
  )
  const [head = [], , ...body] = rows
  const row = (cells: readonly string[], tag: string): string =>
    `<tr>${cells.map(cell => `<${tag}>${cell}</${tag}>`).join('')}</tr>`
  blocks.push(
    `<div class="scroll"><table>${row(head, 'th')}${body.map(cells => row(cells, 'td')).join('')}</table></div>`,
  )
  return start + rows.length
}

function takeParagraph(lines: readonly string[], start: number, blocks: string[]): number {
  const isEnd = (line: string): boolean =>
    line.trim() === '' || isListItem(line) || /^\s*(```|~~~)|^#{1,6}\s/.test(line)
  let end = start + 1
  while (end < lines.length && !isEnd(lines[end]!)) end++
  const text = lines
    .slice(start, end)
    .map(line => line.replace(/^\s*>\s?/, '').trim())
    .join('\n')
  const tag = lines[start]!.trimStart().startsWith('>') ? 'blockquote' : 'p'
  blocks.push(`<${tag}>${renderInline(text)}</${tag}>`)
  return end
}

/** Code first, so that nothing inside of it means anything; what is left is escaped before it is marked up. */
function renderInline(text: string): string {
  return text
    .split(/(`+[^`]+`+)/)
    .map((part, index) =>
      index % 2 === 1 ? `<code>${escapeHtml(part.replace(/^`+|`+$/g, ''))}</code>` : renderLinks(part),
    )
    .join('')
}

function renderLinks(text: string): string {
  return text
    .split(
      /(\[[^[\]]{1,500}\]\([^()\s]{1,2000}(?:\s"[^"]*")?\)|<https?:\/\/[^<>\s]{1,2000}>|(?<![\w("'])https?:\/\/[^<>\s"'`]{1,2000}[^<>\s"'`.,;:!?)])/,
    )
    .map((part, index) => {
      if (index % 2 === 0) return renderEmphasis(escapeHtml(part))
      const [, label, target] = /^\[(.*)\]\((\S+?)(?:\s".*")?\)$/s.exec(part) ?? [
        '',
        plainUrl(part),
        plainUrl(part),
      ]
      const url = safeUrl(target!)
      const shown = renderEmphasis(escapeHtml(label!))
      return url === undefined ? shown : `<a href="${escapeHtml(url)}" rel="noreferrer noopener">${shown}</a>`
    })
    .join('')
}

function plainUrl(part: string): string {
  return part.replaceAll(/^<|>$/g, '')
}

function renderEmphasis(escaped: string): string {
  return escaped
    .replaceAll(/\*\*(\S(?:[^*\n]*\S)?)\*\*/g, '<strong>$1</strong>')
    .replaceAll(/(?<![\w*])\*(\S(?:[^*\n]*\S)?)\*(?!\w)/g, '<em>$1</em>')
    .replaceAll(/(?<!\w)_(\S(?:[^_\n]*\S)?)_(?!\w)/g, '<em>$1</em>')
}
