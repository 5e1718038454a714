/**
 * HTML as texts that escape themselves: one template for the server that renders and the browser that keeps it right.
 *
 * Whatever stands in `${…}` becomes text, never markup, unless it is Html itself. It builds strings and knows no
 * document, so that it runs anywhere. Attributes must be quoted.
 */
import { isSafeUrl, urlNames } from './safe-url.ts'

/** What may stand in a template. Nothing comes of `null`, `undefined` and `false`; the items of a list follow each other. */
export type HtmlValue = Html | string | number | bigint | boolean | null | undefined | readonly HtmlValue[]

/** A piece of markup that was escaped where it had to be; `String(piece)` gives its text. */
export class Html {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
  toString(): string {
    return this.text
  }
}

/**
 * Makes markup from a template: `` html`<li title="${person.email}">${person.name}</li>` ``.
 * A URL that would run as a script (`javascript:` and the like in `href`, `src`, `action` …) becomes `about:blank`.
 */
export function html(strings: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  let text = strings[0]!
  let url: string | undefined
  values.forEach((value, index) => {
    const before = strings[index]!
    // A URL may be made of several values: what counts is the whole up to here.
    if (urlAttribute.test(before)) url = ''
    else if (url !== undefined) url = /["'>]/.test(before) ? undefined : url + before
    if (url !== undefined) url += String(value ?? '')
    text += (url !== undefined && !isSafeUrl(url) ? 'about:blank' : toMarkup(value)) + strings[index + 1]
  })
  return new Html(text)
}

const urlAttribute = new RegExp(`\\s(?:${urlNames})\\s*=\\s*["']?\\s*$`, 'i')

function toMarkup(value: HtmlValue): string {
  if (value === null || value === undefined || value === false) return ''
  if (value instanceof Html) return value.text
  if (Array.isArray(value)) return value.map(toMarkup).join('')
  return String(value).replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`)
}
