/** Which resource or collection a part of the page is about, and how its path is written. */

/** The path that the nearest `data-live-path` names; `''` where there is none. */
export function pathAround(element: Element): string {
  return element.closest<HTMLElement>('[data-live-path]')?.dataset['livePath'] ?? ''
}

/** A path whose ids went through `encodeURIComponent`, as messages name it: what that leaves alone is encoded too. PROTOCOL.md §2.4. */
export function canonicalPath(path: string): string {
  return path.replace(/[!'()*.~]/g, mark => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`)
}
