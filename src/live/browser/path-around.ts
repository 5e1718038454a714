/** Which resource or collection a part of the page is about. */

/** The path that the nearest `data-live-path` names; `''` where there is none. */
export function pathAround(element: Element): string {
  return element.closest<HTMLElement>('[data-live-path]')?.dataset['livePath'] ?? ''
}
