/**
 * Visits every state that a model can get into, breadth first, so that the first failure found of a kind is a shortest one.
 *
 * A model is a value and a function: no threads, no clock, no chance. Each choice that the world has (who goes next,
 * what is lost, what overtakes what) is a step of its own. What the explorer cannot visit in whole it refuses: a
 * search that is cut short says nothing.
 */

/** What the visit of a state says about it. */
export interface Visit<S> {
  /** The state that follows when `label` happens. Naming a state that is known already is harmless. */
  step(label: string, next: S): void
  /** The invariant is broken here, or by the step that `detail` describes. */
  breaks(invariant: string, detail: string): void
  /** Something happened that the model is about, so that a test can tell that it does happen. */
  reaches(situation: string): void
  /** Nothing more has to happen. From each state of a sound model such a state can be reached. */
  rests(): void
}

export interface Model<S> {
  readonly initial: S
  /** A short text that is the same for equal states only. */
  key(state: S): string
  visit(state: S, visit: Visit<S>): void
}

export interface Exploration {
  readonly stateCount: number
  /** For each invariant that is broken the shortest way there: labels of steps, then the detail. */
  readonly broken: ReadonlyMap<string, readonly string[]>
  readonly reached: ReadonlySet<string>
}

export interface ExploreOptions {
  /** Past it the search throws. @default 3_000_000 */
  readonly maxStates?: number
}

/** The invariant that the explorer adds: from some state no state of rest can be reached. */
export const stuck = 'S stuck'

/** Visits all states. Throws where there are more than `maxStates`. */
export function explore<S>(model: Model<S>, { maxStates = 3_000_000 }: ExploreOptions = {}): Exploration {
  const known = new Map<string, number>([[model.key(model.initial), 0]])
  const frontier: (S | undefined)[] = [model.initial]
  const parents = [-1]
  const broken = new Map<string, { readonly at: number; readonly detail: string }>()
  const reached = new Set<string>()
  const resting: number[] = []
  const edges = createEdges()
  let at = 0
  const visit: Visit<S> = {
    step(_label, next) {
      const key = model.key(next)
      let index = known.get(key)
      if (index === undefined) {
        index = frontier.length
        if (index >= maxStates) throw tooMany(maxStates)
        known.set(key, index)
        frontier.push(next)
        parents.push(at)
      }
      edges.add(at, index)
    },
    breaks(invariant, detail) {
      if (!broken.has(invariant)) broken.set(invariant, { at, detail })
    },
    reaches: situation => void reached.add(situation),
    rests: () => void resting.push(at),
  }
  for (; at < frontier.length; at++) {
    const state = frontier[at] as S
    frontier[at] = undefined
    model.visit(state, visit)
  }
  const lost = edges.findFirstWithout(resting, frontier.length)
  if (lost !== undefined) broken.set(stuck, { at: lost, detail: 'from here nothing leads to rest' })
  const ways = [...broken].map(
    ([invariant, end]) => [invariant, [...findWay(model, known, parents, end.at), end.detail]] as const,
  )
  return { stateCount: frontier.length, broken: new Map(ways), reached }
}

function tooMany(maxStates: number): Error {
  return new Error(
    `The model has more than ${maxStates} states, so nothing is known of it. Make its scope smaller, or raise maxStates.`,
  )
}

/** The labels of the steps by which a state was reached first. Only here are they needed, so nobody keeps them. */
function findWay<S>(
  model: Model<S>,
  known: ReadonlyMap<string, number>,
  parents: readonly number[],
  end: number,
): string[] {
  const way: number[] = []
  for (let index = end; index > 0; index = parents[index]!) way.push(index)
  let state = model.initial
  return way.reverse().map(index => {
    let found: { label: string; next: S } | undefined
    const ignore = (): void => {}
    model.visit(state, {
      step(label, next) {
        if (known.get(model.key(next)) === index) found ??= { label, next }
      },
      breaks: ignore,
      reaches: ignore,
      rests: ignore,
    })
    if (found === undefined)
      throw new Error('The model gives other steps for the same state: it is not a function.')
    state = found.next
    return found.label
  })
}

/** Explores several models of one kind, and gives what is found in any of them. */
export function exploreAll<S>(models: readonly Model<S>[], options: ExploreOptions = {}): Exploration {
  const broken = new Map<string, readonly string[]>()
  const reached = new Set<string>()
  let stateCount = 0
  for (const model of models) {
    const one = explore(model, options)
    stateCount += one.stateCount
    for (const situation of one.reached) reached.add(situation)
    for (const [invariant, way] of one.broken) {
      if (way.length < (broken.get(invariant)?.length ?? Number.POSITIVE_INFINITY)) broken.set(invariant, way)
    }
  }
  return { stateCount, broken, reached }
}

/** The steps between states, to be walked backwards: per state a chain of the states before it. */
function createEdges(): {
  add(from: number, to: number): void
  /** The first state from which none of `targets` can be reached. */
  findFirstWithout(targets: readonly number[], stateCount: number): number | undefined
} {
  const first: number[] = []
  const from: number[] = []
  const next: number[] = []
  return {
    add(source, target) {
      while (first.length <= target) first.push(-1)
      next.push(first[target]!)
      first[target] = from.push(source) - 1
    },
    findFirstWithout(targets, stateCount) {
      const isFine = new Uint8Array(stateCount)
      const open = [...targets]
      for (const target of targets) isFine[target] = 1
      for (let state = open.pop(); state !== undefined; state = open.pop()) {
        for (let edge = first[state] ?? -1; edge >= 0; edge = next[edge]!) {
          const before = from[edge]!
          if (isFine[before] === 1) continue
          isFine[before] = 1
          open.push(before)
        }
      }
      const found = isFine.indexOf(0)
      return found < 0 ? undefined : found
    },
  }
}
