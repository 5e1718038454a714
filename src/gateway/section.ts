/**
 * Reads one object of the configuration member by member, and gathers every fault with its JSON Pointer.
 *
 * What is asked for is known; `end` makes a fault of the rest, so that nothing misspelt is passed over.
 */
import { type Fault, isJsonObject, type Json, type JsonObject, quote } from '../contract/index.ts'

export interface CountRange<Default> {
  readonly or: Default
  readonly min?: number
  readonly max?: number
}

export class Section {
  readonly pointer: string
  readonly faults: Fault[]
  readonly #value: JsonObject
  readonly #known: string[] = []

  constructor(value: Json | undefined, pointer: string, faults: Fault[]) {
    this.pointer = pointer
    this.faults = faults
    this.#value = isJsonObject(value) ? value : {}
    if (value !== undefined && value !== null && !isJsonObject(value)) this.fault('', 'must be an object')
  }

  /** Adds a fault of a member; `''` is the section itself. */
  fault(name: string, detail: string): void {
    this.faults.push({ pointer: name === '' ? this.pointer : this.at(name), detail })
  }

  at(name: string | number): string {
    return `${this.pointer}/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`
  }

  /** A member as it is; `undefined` where it is missing or empty. */
  value(name: string): Json | undefined {
    if (!this.#known.includes(name)) this.#known.push(name)
    const value = Object.hasOwn(this.#value, name) ? this.#value[name] : undefined
    return value === null ? undefined : value
  }

  count<Default>(name: string, { or, min = 1, max = 2_147_483_647 }: CountRange<Default>): number | Default {
    const value = this.value(name)
    if (value === undefined) return or
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value
    this.fault(name, `must be a whole number from ${min} to ${max}`)
    return or
  }

  text<Default>(
    name: string,
    or: Default,
    form: RegExp = /^\P{Cc}+$/u,
    meaning = 'a text',
  ): string | Default {
    const value = this.value(name)
    if (value === undefined) return or
    if (typeof value === 'string' && form.test(value)) return value
    this.fault(name, `must be ${meaning}${typeof value === 'string' ? `, not ${quote(value)}` : ''}`)
    return or
  }

  flag<Default>(name: string, or: Default): boolean | Default {
    const value = this.value(name)
    if (value === undefined || typeof value === 'boolean') return value ?? or
    this.fault(name, 'must be true or false')
    return or
  }

  /** A list of texts; a text alone is a list of one. */
  texts<Default>(name: string, or: Default, form: RegExp, meaning: string): readonly string[] | Default {
    const value = this.value(name)
    if (value === undefined) return or
    const list = typeof value === 'string' ? [value] : value
    if (!Array.isArray(list)) {
      this.fault(name, `must be a list, each ${meaning}`)
      return or
    }
    return list.flatMap((item, index) => {
      if (typeof item === 'string' && form.test(item)) return [item]
      const pointer = typeof value === 'string' ? this.at(name) : `${this.at(name)}/${index}`
      this.faults.push({ pointer, detail: `must be ${meaning}` })
      return []
    })
  }

  /** A section within; one without members where it is missing. */
  section(name: string): Section {
    return new Section(this.value(name), this.at(name), this.faults)
  }

  /** The members by their names, each a section; `form` is that of a name. */
  sections(name: string, form: RegExp, meaning: string): Map<string, Section> {
    const value = this.value(name)
    const found = new Map<string, Section>()
    if (value === undefined) return found
    const inner = new Section(value, this.at(name), this.faults)
    for (const [key, each] of Object.entries(isJsonObject(value) ? value : {})) {
      if (!form.test(key)) inner.fault(key, `has a name that cannot be used: it must be ${meaning}`)
      found.set(key, new Section(each, inner.at(key), this.faults))
    }
    return found
  }

  /** Every member that nobody asked for is a fault. */
  end(): void {
    for (const name of Object.keys(this.#value)) {
      if (!this.#known.includes(name)) this.fault(name, `is not known here. Known: ${this.#known.join(', ')}`)
    }
  }
}
