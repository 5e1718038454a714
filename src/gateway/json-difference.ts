/** In what two JSON values differ, place by place, up to a limit. Items of arrays are told apart by their place. */
import { isEqualJson, isJsonObject, type Json } from '../contract/index.ts'

export interface Difference {
  /** JSON Pointer (RFC 6901), with `*` for the places in arrays, so that like differences count as one. */
  readonly pointer: string
  /** As seen from the first value: the second lacks it, has more, or has another one. */
  readonly kind: 'missing' | 'added' | 'changed'
}

export interface DifferenceOptions {
  /** Pointers, with `*`, below which nothing is compared. */
  readonly ignore?: ReadonlySet<string>
  /** @default 50 */
  readonly max?: number
}

/** Compares; each pointer and kind once. */
export function findDifferences(before: Json, after: Json, options: DifferenceOptions = {}): Difference[] {
  const { ignore = new Set<string>(), max = 50 } = options
  const found = new Map<string, Difference>()
  const add = (pointer: string, kind: Difference['kind']): void => {
    if (found.size < max) found.set(`${kind} ${pointer}`, { pointer, kind })
  }
  const compare = (one: Json | undefined, other: Json | undefined, pointer: string): void => {
    if (found.size >= max || ignore.has(pointer)) return
    if (other === undefined) add(pointer, 'missing')
    else if (one === undefined) add(pointer, 'added')
    else if (Array.isArray(one) && Array.isArray(other)) {
      for (let index = 0; index < Math.max(one.length, other.length); index++) {
        compare(one[index], other[index], `${pointer}/*`)
      }
    } else if (isJsonObject(one) && isJsonObject(other)) {
      for (const name of new Set([...Object.keys(one), ...Object.keys(other)])) {
        const at = (object: typeof one): Json | undefined =>
          Object.hasOwn(object, name) ? object[name] : undefined
        compare(at(one), at(other), `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`)
      }
    } else if (!isEqualJson(one, other)) add(pointer, 'changed')
  }
  compare(before, after, '')
  return [...found.values()]
}
