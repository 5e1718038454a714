/**
 * The types behind `connect<Api>()`: from a path to what lies there.
 *
 * `Api` names each collection's resources by template: `{ people: Person; 'people/{id}/friends': Friend }`. Only
 * types are in here.
 */
import type { JsonObject } from '../contract/index.ts'

/** An API of which no types are known: everything is a JSON object. */
export interface UnknownApi {
  readonly unknown: 'api'
}

type Split<Path extends string> = Path extends `${infer First}/${infer Rest}`
  ? [First, ...Split<Rest>]
  : [Path]

/** `['people', '1', 'friends', '2']` → `people/{id}/friends`: every second segment is an id, the last one is left out. */
type TemplateOf<Segments extends readonly string[]> = Segments extends [
  infer Collection extends string,
  infer _Id,
  infer Next extends string,
  ...infer Rest extends string[],
]
  ? `${Collection}/{id}/${TemplateOf<[Next, ...Rest]>}`
  : Segments extends [infer Collection extends string, ...string[]]
    ? Collection
    : never

/** `people/{personId}/friends` is the same as `people/{id}/friends`. */
type Normal<Template> = Template extends `${infer Before}{${string}}${infer After}`
  ? `${Before}{id}${Normal<After>}`
  : Template

type Normalized<Api> = { [Template in keyof Api as Normal<Template>]: Api[Template] }

type IsEven<Segments extends readonly unknown[]> = Segments extends [unknown, unknown, ...infer Rest]
  ? IsEven<Rest>
  : Segments extends []
    ? true
    : false

type SegmentsOf<Path extends string> = Path extends `/${infer Below}` ? Split<Below> : never

/** What the resources on a path look like; `never` where the API has nothing there. */
export type StateAt<Api, Path extends string> = Api extends UnknownApi
  ? JsonObject
  : string extends Path
    ? Api[keyof Api]
    : TemplateOf<SegmentsOf<Path>> extends keyof Normalized<Api>
      ? Normalized<Api>[TemplateOf<SegmentsOf<Path>>]
      : never

/** `resource` or `collection`; both where the path is known at run time only. */
export type KindAt<Path extends string> = string extends Path
  ? 'resource' | 'collection'
  : IsEven<SegmentsOf<Path>> extends true
    ? 'resource'
    : 'collection'

/** The path, where the API has something there; else what the compiler shows of it. */
export type PathIn<Api, Path extends string> = string extends Path
  ? Path
  : [StateAt<Api, Path>] extends [never]
    ? UnknownPath<Api>
    : Path

/** A text that nobody passes: it stands in the compiler's message. */
export type UnknownPath<Api> =
  `no such path; known: /${Extract<keyof Normalized<Api>, string>}, each also with /{id}`
