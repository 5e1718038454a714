/** The new names of a service's components, so that those of several services never meet; and the references to them. */
import { isJsonObject, type JsonObject } from '../../contract/index.ts'
import { componentName } from './part.ts'
import { joinPointer, splitPointer } from './reference-walk.ts'

export interface ComponentNames {
  /** The new name of a component: `users.Person`. */
  of(kind: string, name: string): string
  /** The new target of a reference. `paths` says what paths are called now. */
  reference(target: string, places?: Readonly<Record<string, (name: string) => string>>): string
}

/** Two names that differ only in what a component's name may not hold get numbers. */
export function createComponentNames(service: string, components: JsonObject): ComponentNames {
  const names = new Map<string, string>()
  for (const [kind, members] of Object.entries(components)) {
    if (!isJsonObject(members)) continue
    const taken = new Set<string>()
    for (const name of Object.keys(members)) {
      const plain = componentName(service, name)
      let chosen = plain
      for (let count = 2; taken.has(chosen); count++) chosen = `${plain}_${count}`
      taken.add(chosen)
      names.set(`${kind} ${name}`, chosen)
    }
  }
  const of: ComponentNames['of'] = (kind, name) =>
    names.get(`${kind} ${name}`) ?? componentName(service, name)
  return {
    of,
    reference(target, places = {}) {
      if (!target.startsWith('#/')) return target
      const [top, ...rest] = splitPointer(target.slice(1))
      if (top === 'components' && rest.length >= 2) {
        const [kind, name, ...inner] = rest as [string, string, ...string[]]
        return `#${joinPointer('components', kind, of(kind, name), ...inner)}`
      }
      const place = places[top!]
      if (place === undefined || rest.length === 0) return target
      const [name, ...inner] = rest as [string, ...string[]]
      return `#${joinPointer(top!, place(name), ...inner)}`
    },
  }
}
