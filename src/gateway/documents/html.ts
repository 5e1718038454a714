/** HTML from templates that escape: a text from a document is never markup. */

/** A piece of HTML that was made here. */
export class Html {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

export type Content = Html | string | number | undefined | false | readonly Content[]

/** Escapes everything that is put in, except what is Html already. Attributes MUST stand in double quotes. */
export function html(parts: TemplateStringsArray, ...values: readonly Content[]): Html {
  return new Html(parts.reduce((text, part, index) => `${text}${show(values[index - 1])}${part}`))
}

function show(content: Content): string {
  if (content === undefined || content === false) return ''
  if (content instanceof Html) return content.text
  if (typeof content === 'object') return content.map(show).join('')
  return escapeHtml(String(content))
}

const special = /[&<>"'`]/

export function escapeHtml(text: string): string {
  return special.test(text) ? text.replaceAll(/[&<>"'`]/g, character => entities[character]!) : text
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '`': '&#96;',
}

/** The URL where it may stand in a link: HTTP, mail, or a place of this site; `undefined` for every other scheme. */
export function safeUrl(text: string): string | undefined {
  const url = text.trim()
  // biome-ignore lint/suspicious/noControlCharactersInRegex: browsers leave them out, and so `java\nscript:` would run
  if (/[\u0000-\u001f\u007f]/.test(url)) return undefined
  if (/^(https?:\/\/|mailto:|#)/i.test(url)) return url
  return /^[A-Za-z0-9_.-]+(\/[A-Za-z0-9_.-]+)*(\.html)?(#[\w.-]*)?$/.test(url) ? url : undefined
}
