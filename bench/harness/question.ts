/**
 * What a question of the benchmark is: variants that are measured side by side, and claims about them.
 *
 * A variant is measured once per round; a claim compares figures of the same round only, since the machine may
 * be faster in the next one.
 */

/** What one measurement of a variant gave, by the name of the figure. */
export type Figures = Readonly<Record<string, number>>

/** One round: what each variant gave, by the name of the variant. */
export type Round = Readonly<Record<string, Figures>>

export interface Variant {
  readonly name: string
  /** Measures once, from a fresh start. */
  measure(): Promise<Figures>
}

/** A column of the table. */
export interface Column {
  readonly figure: string
  readonly title: string
  /** Digits after the point. @default 0 */
  readonly digits?: number
}

/** What is promised of the figures. */
export interface Claim {
  readonly text: string
  /** The figure of one round that the target is about; `undefined` where the round cannot tell. */
  readonly value: (round: Round) => number | undefined
  readonly target: { readonly atLeast: number } | { readonly atMost: number }
  /** What stands behind the value. @default '×' */
  readonly unit?: string
  /** Digits after the point. @default 2 */
  readonly digits?: number
}

/** What a question works with. */
export interface Setting {
  /** Seconds instead of minutes: shows that everything runs, proves nothing. */
  readonly quick: boolean
  /** A folder of its own on a real disk, removed afterwards. */
  readonly folder: string
  /** Where Mosquitto is; `undefined` where it is not installed. */
  readonly mosquitto: string | undefined
  /** Says what is going on. */
  readonly progress: (text: string) => void
}

/** A question, prepared: what it needs is started and filled. */
export interface Prepared extends AsyncDisposable {
  readonly columns: readonly Column[]
  readonly variants: readonly Variant[]
  readonly claims: readonly Claim[]
  readonly rounds: number
  /** What a reader must know, and what was left out. */
  readonly notes: readonly string[]
}

export interface Question {
  readonly name: string
  readonly title: string
  /** How long it may take in seconds: no round is begun that would end later, except the first. */
  readonly budgetS: { readonly full: number; readonly quick: number }
  prepare(setting: Setting): Promise<Prepared>
}

/** Divides a figure of two variants in the same round. */
export function ratio(own: string, other: string, figure: string): Claim['value'] {
  return round => {
    const [above, below] = [round[own]?.[figure], round[other]?.[figure]]
    return above === undefined || below === undefined || below === 0 ? undefined : above / below
  }
}
