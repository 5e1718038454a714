/**
 * Embeds: the resources that a representation refers to, `?embed=owner,members`, beside it in `_embedded`.
 *
 * Those of the own service come from its log, those of another one over REST. What could not be read is `null`, and
 * `_problems` says why: a service that is down takes nothing else along. The marker is a lower bound for all streams that
 * are in the response. PROTOCOL.md §10.
 */
import { createHash } from 'node:crypto'
import {
  type Fields,
  type Json,
  type JsonObject,
  LockstepError,
  type Marker,
  maxMarkerStreams,
  minimumMarker,
  readMember,
  selectFields,
  setMember,
  showLanguage,
  tryEncodeSegment,
} from '../../contract/index.ts'
import type { Reference } from '../reference.ts'
import { type Miss, missOf, type RemoteFind } from '../remote-resources.ts'
import { markerOf, type Route } from './context.ts'
import { chooseLanguage, type View } from './view.ts'

/** What is beside the states of a response. */
export interface Embedding {
  /** Of all streams, those of the states too. */
  readonly marker: Marker
  /** For the ETag: changes with what is embedded. */
  readonly variant: string
  /** The members to be added to each state, in their order. */
  readonly members: readonly JsonObject[]
}

/** The most resources that one response embeds, each counted once. */
const maxEmbedded = 1_000
/** The most characters of embedded states, each counted as often as it stands there. */
const maxEmbeddedChars = 8_388_608

type Target = Reference['target']
type RemoteTarget = Exclude<Target, string>

/** A resource that was found, as a JSON text, or why it was not. */
type Found = { readonly text: string } | { readonly miss: Miss }

/**
 * Reads what the states refer to. `undefined` where a stream began anew meanwhile: then everything is to be read again.
 * Errors: `list-too-large`, those of the log.
 */
export async function readEmbeds(
  route: Route,
  view: View,
  marker: Marker,
  stateTexts: readonly string[],
): Promise<Embedding | undefined> {
  const states = stateTexts.map(text => JSON.parse(text) as JsonObject)
  const wanted = new Map<Target, Set<string>>()
  for (const reference of view.embeds) {
    const ids = wanted.get(reference.target) ?? new Set()
    for (const id of states.flatMap(state => idsAt(state, reference))) if (isId(id)) ids.add(id)
    wanted.set(reference.target, ids)
  }
  const count = [...wanted.values()].reduce((sum, ids) => sum + ids.size, 0)
  if (count > maxEmbedded) throw tooLarge(`${count} resources, and at most ${maxEmbedded}`)
  let bound: Marker | undefined = marker
  const found = new Map<Target, ReadonlyMap<string, Found>>()
  const remote: [RemoteTarget, Set<string>][] = []
  for (const [target, ids] of wanted) {
    if (typeof target !== 'string') {
      remote.push([target, ids])
      continue
    }
    const own = await readOwn(route, view, target, ids)
    bound = bound && minimumMarker([bound, ...own.markers])
    found.set(target, own.found)
  }
  if (bound === undefined) return undefined
  const finds = await Promise.all(remote.map(([target, ids]) => readRemote(route, view, target, ids)))
  for (const [index, [target]] of remote.entries()) {
    const taken = takeRemote(finds[index]!, bound)
    bound = taken.marker
    found.set(target, taken.found)
  }
  return { marker: bound, ...compose(route, view, states, found) }
}

/** Says where the embedded resources are, so that a client can follow them. */
export function setEmbedLinks({ context, headers }: Route, { embeds }: View): void {
  for (const { name, target } of embeds) {
    const url = typeof target === 'string' ? `${context.root}/${target}` : target.url
    headers['link'] += `, <${url}>; rel="embedded"; member="${name}"`
  }
}

async function readOwn(
  { context }: Route,
  { wish }: View,
  collection: string,
  ids: ReadonlySet<string>,
): Promise<{ readonly found: ReadonlyMap<string, Found>; readonly markers: readonly Marker[] }> {
  const { texts } = context.routes.get(collection)!
  const language = chooseLanguage(texts, wish)
  const found = new Map<string, Found>()
  const markers: Marker[] = []
  for (const id of ids) {
    const segment = tryEncodeSegment(id)
    if (segment === undefined) {
      found.set(id, { miss: missOf('not-found', 'There is no such resource.') })
      continue
    }
    const { head, resource } = await context.log.readResource(`/${collection}/${segment}`)
    const { stateText, deleted } = resource
    markers.push(markerOf(head))
    if (stateText === undefined) {
      const miss = deleted
        ? missOf('gone', 'The resource was deleted.')
        : missOf('not-found', 'There is no such resource.')
      found.set(id, { miss })
    } else if (language === undefined) found.set(id, { text: stateText })
    else {
      const { state } = showLanguage(JSON.parse(stateText) as JsonObject, texts, language)
      found.set(id, { text: JSON.stringify(state) })
    }
  }
  return { found, markers }
}

async function readRemote(
  { context }: Route,
  { wish }: View,
  target: RemoteTarget,
  ids: ReadonlySet<string>,
): Promise<ReadonlyMap<string, RemoteFind>> {
  const { lang, ranges } = wish
  const acceptLanguage = (lang === undefined ? ranges.slice(0, 8).join(', ') : lang) || '*'
  return await context.remoteResources.read(target, [...ids], acceptLanguage)
}

/** Takes what came from another service, as far as one marker can hold it. */
function takeRemote(
  finds: ReadonlyMap<string, RemoteFind>,
  bound: Marker,
): { readonly marker: Marker; readonly found: ReadonlyMap<string, Found> } {
  let marker = bound
  const found = new Map<string, Found>()
  for (const [id, find] of finds) {
    const both = find.marker === undefined ? marker : minimumMarker([marker, find.marker])
    if (both === undefined || both.length > maxMarkerStreams) {
      const detail =
        both === undefined
          ? 'Its stream has another epoch there than the rest of this response.'
          : `The marker of this response would name over ${maxMarkerStreams} streams.`
      found.set(id, { miss: missOf('api-refused', detail) })
      continue
    }
    marker = both
    found.set(id, 'miss' in find ? find : { text: JSON.stringify(find.state) })
  }
  return { marker, found }
}

/** Puts what was found where it was referred to. */
function compose(
  { context }: Route,
  { embeds, fields }: View,
  states: readonly JsonObject[],
  found: ReadonlyMap<Target, ReadonlyMap<string, Found>>,
): Omit<Embedding, 'marker'> {
  const narrowed = fields?.get('_embedded')
  const hash = createHash('sha256')
  let chars = 0
  const members = states.map(state => {
    const embedded: JsonObject = {}
    const problems: Json[] = []
    for (const reference of embeds) {
      const pointer = `/_embedded/${reference.name.replaceAll('~', '~0').replaceAll('/', '~1')}`
      const embed = (id: Json, place: string): Json => {
        const { text, miss } = lookUp(found.get(reference.target)!, id)
        if (text !== undefined) {
          chars += text.length
          if (chars > maxEmbeddedChars)
            throw tooLarge(`over ${maxEmbeddedChars} characters, which is the most`)
          return JSON.parse(text) as Json
        }
        problems.push({ pointer: place, resource: urlOf(context.root, reference, id), ...miss })
        return null
      }
      const ids = readMember(state, reference.path)
      if (ids === undefined || ids === null) continue
      const value = Array.isArray(ids)
        ? ids.map((id, index) => embed(id, `${pointer}/${index}`))
        : embed(ids, pointer)
      setMember(embedded, reference.name, value)
    }
    const shown = narrowed === undefined ? embedded : selectEmbedded(embedded, narrowed)
    const result: JsonObject = { _embedded: shown }
    if (problems.length > 0) result['_problems'] = problems
    hash.update(JSON.stringify(result))
    return result
  })
  return { members, variant: `embed=${hash.digest('base64url')}` }
}

/** Narrows the embedded states; where they are missing stays null, so that problems have their places. */
function selectEmbedded(embedded: JsonObject, narrowed: Fields): JsonObject {
  const result: JsonObject = {}
  for (const [name, value] of Object.entries(embedded)) {
    if (!narrowed.has(name)) continue
    const fields = narrowed.get(name)
    const select = (each: Json): Json =>
      each === null || fields === undefined ? each : selectFields(each as JsonObject, fields)
    setMember(result, name, Array.isArray(value) ? value.map(select) : select(value))
  }
  return result
}

function lookUp(
  found: ReadonlyMap<string, Found>,
  id: Json,
): { readonly text?: string; readonly miss?: Miss } {
  const find = isId(id)
    ? found.get(id.normalize('NFC'))
    : { miss: missOf('invalid-id', 'The member holds no id.') }
  if (find !== undefined && 'text' in find) return find
  return { miss: find?.miss ?? missOf('not-found', 'There is no such resource.') }
}

function idsAt(state: JsonObject, { path }: Reference): readonly Json[] {
  const value = readMember(state, path)
  const ids = Array.isArray(value) ? value : value === undefined ? [] : [value]
  return ids.map(id => (isId(id) ? id.normalize('NFC') : id))
}

function isId(value: Json): value is string {
  return typeof value === 'string'
}

function urlOf(root: string, { target }: Reference, id: Json): string {
  const segment = isId(id) ? (tryEncodeSegment(id) ?? encodeURIComponent(id.toWellFormed())) : ''
  return `${typeof target === 'string' ? `${root}/${target}` : target.url}/${segment}`
}

function tooLarge(what: string): LockstepError {
  return new LockstepError(
    'list-too-large',
    `The response would embed ${what}. Ask for fewer items with limit=, or for fewer embeds.`,
  )
}
