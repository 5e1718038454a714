/**
 * Writes what changed into the elements that are marked with `data-live`.
 *
 * The document is asked at each write and nothing is remembered of it, so that elements may come and go by other hands. What a
 * user is typing is never overwritten, and a value never becomes markup, script or style.
 */
import type { Json, JsonObject } from '../../contract/index.ts'
import { type Binding, formatValue, lookUp, parseBindings } from './binding.ts'
import { pathAround } from './path-around.ts'
import { isSafeUrl, urlNames } from './safe-url.ts'

/** What became of a resource since the last write. */
export interface Written {
  /** As it is; `undefined` where it is gone or not held. */
  readonly state: JsonObject | undefined
  readonly isGone: boolean
  /** What the last message said of it, where it is not held. */
  readonly patch?: JsonObject | undefined
}

/** The detail of the event `live-change`, which each element that was written to gives off and which bubbles. */
export interface LiveChangeDetail {
  readonly path: string
  /** The attribute; `''` is the text or the field's value. */
  readonly name: string
  readonly value: Json | undefined
  /** The user has changed the field, so that only its default value was set. */
  readonly isLeft: boolean
}

const urlName = new RegExp(`^(${urlNames})$`, 'i')

/** Writes into each bound element what `written` says of its paths. */
export function writeBindings(
  written: (path: string) => Written | undefined,
  onError: (error: unknown) => void,
): void {
  for (const element of document.querySelectorAll<HTMLElement>('[data-live]:not(script)')) {
    try {
      for (const binding of parseBindings(element.dataset['live']!, pathAround(element))) {
        const news = written(binding.path)
        if (news) writeBinding(element, binding, news)
      }
    } catch (error) {
      onError(error)
    }
  }
}

function writeBinding(
  element: HTMLElement,
  { name, path, tokens }: Binding,
  { state, isGone, patch }: Written,
): void {
  // What is gone stays readable, and a style sheet may show that it is gone.
  element.toggleAttribute('data-live-gone', isGone)
  const value = lookUp(state ?? patch, tokens)
  if (isGone || (!state && value === undefined)) return
  const isField = name === '' && /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName)
  const isLeft = isField ? writeField(element as Field, value) : writeValue(element, name, value)
  if (isLeft === undefined) return
  const detail: LiveChangeDetail = { path, name, value, isLeft }
  element.dispatchEvent(new CustomEvent('live-change', { bubbles: true, detail }))
}

/** Was it left to the user? `undefined` where nothing changed. */
type Outcome = boolean | undefined
/** Of a `<select>` the default value is this module's own note. */
type Field = HTMLElement & Record<'value' | 'defaultValue' | 'checked' | 'defaultChecked', unknown>

/** The default value follows the resource always, the value only where the user has not changed it. */
function writeField(field: Field, value: Json | undefined): Outcome {
  const isBox = field.getAttribute('type') === 'checkbox'
  const [now, initial] = isBox
    ? (['checked', 'defaultChecked'] as const)
    : (['value', 'defaultValue'] as const)
  const wanted = isBox ? value === true : formatValue(value)
  if (field[initial] === wanted) return
  const isTouched = field[now] !== (field[initial] ?? field[now])
  field[initial] = wanted
  if (isTouched && field[now] !== wanted) return true
  field[now] = wanted
  return false
}

function writeValue(element: HTMLElement, name: string, value: Json | undefined): Outcome {
  // `aria-…` and `data-…` say true and false in words, other attributes by being there.
  const isFlag = typeof value === 'boolean' && !/^(aria|data)-|^$/.test(name)
  const text = isFlag ? '' : formatValue(value)
  const isOff = isFlag
    ? !value
    : (value ?? undefined) === undefined || (urlName.test(name) && !isSafeUrl(text))
  const before = name === '' ? element.textContent : element.getAttribute(name)
  const after = name !== '' && isOff ? null : text
  if (before === after) return
  if (name === '') element.textContent = after
  else if (after === null) element.removeAttribute(name)
  else element.setAttribute(name, after)
  return false
}
