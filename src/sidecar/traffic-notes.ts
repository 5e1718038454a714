/**
 * Takes notes of what is asked and answered, and proposes resources from it: a path that gives a list, and paths below it that give one of its
 * items. Pure; holds shapes, and of each list one answer.
 */
import { isJsonObject, type Json } from '../contract/index.ts'
import { type FoundList, type Proposal, propose } from './proposal.ts'
import { splitPath } from './url-pattern.ts'

/** One request with its answer. */
export interface Noted {
  readonly method: string
  /** Without the query. */
  readonly path: string
  readonly status: number
  /** The JSON of the answer, where it was some. */
  readonly answer: Json | undefined
}

const maxPaths = 5_000

export class TrafficNotes {
  /** By path, the answer of a list. */
  readonly #lists = new Map<string, Json>()
  /** Paths that gave an object, or were written to. */
  readonly #items = new Set<string>()
  /** Paths to which something was posted, with what was made. */
  readonly #posted = new Set<string>()

  take({ method, path, status, answer }: Noted): void {
    if (status >= 400 || this.#lists.size + this.#items.size >= maxPaths) return
    const trimmed = path.length > 1 ? path.replace(/\/$/, '') : path
    if (splitPath(trimmed) === undefined) return
    if (method === 'GET') {
      if (Array.isArray(answer) || (isJsonObject(answer) && hasList(answer))) this.#lists.set(trimmed, answer)
      else if (isJsonObject(answer)) this.#items.add(trimmed)
    } else if (method === 'PUT' || method === 'PATCH' || method === 'DELETE') this.#items.add(trimmed)
    else if (method === 'POST' && status === 201) this.#posted.add(trimmed)
  }

  propose(): Proposal {
    const found = new Map<string, FoundList>()
    for (const path of new Set([...this.#lists.keys(), ...this.#posted])) {
      const list = this.#generalize(path)
      const answer = this.#lists.get(path)
      if (found.get(list)?.answer !== undefined && isEmpty(answer)) continue
      found.set(list, { list, item: `${list}/{id}`, ...(answer === undefined ? {} : { answer }) })
    }
    for (const path of this.#items) {
      const above = path.slice(0, path.lastIndexOf('/'))
      if (above === '') continue
      const list = this.#generalize(above)
      if (!found.has(list)) found.set(list, { list: undefined, item: `${list}/{id}` })
    }
    return propose([...found.values()])
  }

  /** What stands behind a list in a path is an id of it: `/people/7/friends` → `/people/{person}/friends`. */
  #generalize(path: string): string {
    const made: string[] = []
    let at = ''
    for (const part of path.slice(1).split('/')) {
      const isId = at !== '' && (this.#lists.has(at) || this.#posted.has(at)) && !part.includes('{')
      made.push(isId ? `{${singular(made.at(-1)!)}}` : part)
      at += `/${part}`
    }
    return `/${made.join('/')}`
  }
}

function singular(name: string): string {
  const one = name === 'people' ? 'person' : name.replace(/ies$/, 'y').replace(/s$/, '')
  return one.replaceAll(/[^A-Za-z0-9_]/g, '') || 'parent'
}

function hasList(answer: Readonly<Record<string, Json>>): boolean {
  const arrays = Object.values(answer).filter(value => Array.isArray(value))
  return arrays.length === 1 && arrays[0]!.every(isJsonObject) && typeof answer['id'] === 'undefined'
}

function isEmpty(answer: Json | undefined): boolean {
  return answer === undefined || (Array.isArray(answer) && answer.length === 0)
}
