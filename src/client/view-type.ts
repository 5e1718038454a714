/**
 * The types of views: what becomes of a state's type by `fields` and `lang`. Only types are in here.
 *
 * They promise no more than the options say: fields that are only known at run time leave every member optional.
 */
import type { ErrorCode, Json, JsonObject } from '../contract/index.ts'
import type { Conditions } from './conditions.ts'
import type { FollowOptions } from './follow-options.ts'

/** The options, where there is nothing among them that is not known. */
export type Known<Options, State> = Options &
  Nothing<Exclude<keyof Options, keyof FollowOptions>> &
  (Options extends { readonly where: infer Where }
    ? { readonly where: Nothing<Exclude<keyof Where, keyof Conditions<State>>> }
    : unknown)
type Nothing<Names extends PropertyKey> = { readonly [Name in Names]: never }

/** A state as it is shown with these options. */
export type Shown<State, Options> = InLanguage<
  Options extends { readonly fields: infer Fields } ? Narrowed<State, Fields> : State,
  Options
> &
  (Options extends { readonly embed: infer Embed } ? Embedded<Embed> : unknown)

/** What stands beside a state with embeds. */
export interface Embedded<Embed = string> {
  /** What each member refers to; `null` where it is missing. What refers to nothing is left out. */
  readonly _embedded: {
    readonly [Name in NameOf<Embed>]?: JsonObject | null | readonly (JsonObject | null)[]
  }
  /** Why something is missing. */
  readonly _problems?: readonly EmbedProblem[]
}

export interface EmbedProblem {
  readonly pointer: string
  readonly resource: string
  readonly code: ErrorCode
  readonly status: number
  readonly detail: string
}

type NameOf<Embed> = (Embed extends readonly (infer Each)[] ? Split<Each> : Split<Embed>) & string

type Narrowed<State, Fields> = Fields extends readonly (infer Each)[]
  ? Selected<State, Split<Each> | 'id'>
  : Selected<State, Split<Fields> | 'id'>

/** `'id,name'` → `'id' | 'name'` */
type Split<Fields> = Fields extends `${infer First},${infer Rest}` ? First | Split<Rest> : Fields

/** The members that are named; those of which parts are named, with these parts. */
type Selected<State, Path> = State extends readonly (infer Item)[]
  ? Selected<Item, Path>[]
  : State extends object
    ? string extends Path | keyof State
      ? Partial<State>
      : {
          [Name in keyof State as Name & (Path | Begun<Path>)]: Name extends Path
            ? State[Name]
            : Selected<State[Name], Behind<Path, Name>>
        }
    : undefined

type Begun<Path> = Path extends `${infer Name}/${string}` ? Name : never
type Behind<Path, Name> = Name extends string ? (Path extends `${Name}/${infer Rest}` ? Rest : never) : never

type InLanguage<State, Options> = Options extends { readonly lang: infer Language }
  ? Language extends '*'
    ? State
    : Translated<State>
  : State

/** Maps of languages, which are taken for texts by their members (`en`, `pt-BR`), become strings. */
type Translated<State> = State extends readonly Json[]
  ? State
  : State extends object
    ? IsText<State> extends true
      ? string
      : { [Name in keyof State]: Translated<State[Name]> }
    : State

type IsText<State> = string extends keyof State
  ? false
  : [keyof State] extends [never]
    ? false
    : [Exclude<State[keyof State], string | undefined>] extends [never]
      ? false extends { [Name in keyof State]-?: IsTag<Name> }[keyof State]
        ? false
        : true
      : false

type IsTag<Name> = Name extends `${Letter}${Letter}` | `${Letter}${Letter}-${string}` ? true : false
type Letter =
  | 'a'
  | 'b'
  | 'c'
  | 'd'
  | 'e'
  | 'f'
  | 'g'
  | 'h'
  | 'i'
  | 'j'
  | 'k'
  | 'l'
  | 'm'
  | 'n'
  | 'o'
  | 'p'
  | 'q'
  | 'r'
  | 's'
  | 't'
  | 'u'
  | 'v'
  | 'w'
  | 'x'
  | 'y'
  | 'z'
