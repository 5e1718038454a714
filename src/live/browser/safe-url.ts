/** Which URLs may stand where a browser follows them: a text from a resource must not run. */

/** Attributes whose value a browser follows or loads. */
export const urlNames = 'href|src|action|formaction|poster|data|xlink:href'

/** Relative URLs, http, https, mailto and tel may, and pictures as data. */
export function isSafeUrl(url: string): boolean {
  // Browsers skip white space and control characters inside a scheme.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for
  const text = url.replace(/[\u0000-\u0020]/g, '')
  return !/^[^/?#]*:/.test(text) || /^(https?:|mailto:|tel:|data:image\/(?!svg))/i.test(text)
}
