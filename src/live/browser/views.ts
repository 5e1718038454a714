/**
 * Views: pure functions from states to markup, the same on the server that renders and in the browser that keeps it right.
 *
 * `<ul data-live-view="builds" data-live-path="/builds">` is filled by the view `builds`. It runs again when something changed that
 * it read the last time. What it gives is merged into the page by a morpher where there is one, else it replaces the content.
 */
import type { Html } from './html.ts'
import { LiveError } from './live-error.ts'
import { type Held, PageCopy, parentPath, type States } from './page-copy.ts'
import { canonicalPath, pathAround } from './path-around.ts'
import { trustMarkup } from './trusted-markup.ts'

export { Html, type HtmlValue, html } from './html.ts'
export type { Held, States } from './page-copy.ts'

/** Makes the content of an element from states; `path` is what `data-live-path` on or around it names. */
export type View = (states: States, path: string) => Html

/**
 * Makes nodes the content of an element with as little change as it can, as `Idiomorph.morph` does.
 * `ignoreActiveValue` asks it to leave the field alone in which the user is typing.
 */
export type Morph = (
  element: Element,
  content: DocumentFragment,
  options: { readonly morphStyle: 'innerHTML'; readonly ignoreActiveValue: true },
) => unknown

/** The views of a page, for `live({ views })`. */
export interface Views {
  /** Runs the views that read one of these paths the last time, or all of them. */
  render(states: States, changed: ReadonlySet<string> | undefined, onError: (error: unknown) => void): void
  /** Makes nodes the content of an element. */
  fill(element: Element, content: DocumentFragment): void
}

/** Makes views by name. `morph` keeps what does not change in place. @default the content is replaced */
export function createViews(
  views: Readonly<Record<string, View>>,
  options: { readonly morph?: Morph } = {},
): Views {
  /** What each element's view read: resources and collections by path. */
  const reads = new WeakMap<Element, ReadonlySet<string>>()
  const fill: Views['fill'] = (element, content) => {
    if (options.morph === undefined) element.replaceChildren(content)
    else options.morph(element, content, { morphStyle: 'innerHTML', ignoreActiveValue: true })
  }
  const renderOne = (element: HTMLElement, states: States): void => {
    const name = element.dataset['liveView']!
    const view = Object.hasOwn(views, name) ? views[name] : undefined
    if (view === undefined) {
      throw new LiveError('invalid-option', `There is no view "${name}". Give it to createViews({ … }).`)
    }
    const paths = new Set<string>()
    const markup = view(
      { get: path => states.get(note(path)), list: path => states.list(note(path)) },
      pathAround(element),
    )
    function note(path: string): string {
      paths.add(canonicalPath(path))
      return path
    }
    reads.set(element, paths)
    const template = document.createElement('template')
    template.innerHTML = trustMarkup(markup.text)
    fill(element, template.content)
  }
  return {
    fill,
    render(states, changed, onError) {
      for (const element of document.querySelectorAll<HTMLElement>('[data-live-view]')) {
        // A view around it may have taken it out.
        if (!element.isConnected || !isTouched(reads.get(element), changed)) continue
        try {
          renderOne(element, states)
        } catch (error) {
          onError(error)
        }
      }
    },
  }
}

/** Makes what views read from what a tag holds: for the server that renders them. */
export function createStates(held: Held): States {
  return new PageCopy(held)
}

/** A view that has not run yet may have read anything. */
function isTouched(read: ReadonlySet<string> | undefined, changed: ReadonlySet<string> | undefined): boolean {
  if (read === undefined || changed === undefined) return true
  return [...changed].some(path => read.has(path) || read.has(parentPath(path)))
}
