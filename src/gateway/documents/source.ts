/** Where a service's documents are, as it is configured. */
import { checkOptions, LockstepError, quote } from '../../contract/index.ts'

export interface DocumentSource {
  /** As it stands in paths: `users`. */
  readonly service: string
  /** The version of the API that this is, where several stand side by side. */
  readonly version?: string
  /** Is that version to end? @default false */
  readonly isDeprecated?: boolean
  /** What the gateway forwards to: `http://127.0.0.1:3001/api`. Of a Lockstep service that is enough. */
  readonly upstream: string
  /** Where the gateway has it below its own root. @default '/' and the name of the service */
  readonly mount?: string
  /** The address of its OpenAPI document, below {@link upstream} where it is a path. @default '_openapi' below upstream */
  readonly openApi?: string | false
  /** The address of its AsyncAPI document. @default '_asyncapi' below upstream, where it is a Lockstep service */
  readonly asyncApi?: string | false
  /** Only what is below these is reached. @default everything */
  readonly paths?: readonly string[]
  /** Sent with the requests for documents. */
  readonly headers?: Readonly<Record<string, string>>
}

/** A source with its addresses. */
export interface KnownSource {
  readonly service: string
  readonly version: string | undefined
  readonly isDeprecated: boolean
  readonly openApi: URL | undefined
  readonly asyncApi: URL | undefined
  /** Is it looked at whether it is a Lockstep service, with a document per audience? */
  readonly isOwn: boolean
  /** The path of upstream, which the gateway puts before what it forwards. */
  readonly root: string
  readonly headers: Readonly<Record<string, string>>
  readonly mount: string
  readonly paths: readonly string[] | undefined
}

/** Errors: `invalid-option`. */
export function readSource(source: DocumentSource): KnownSource {
  const what = `The documents of ${quote(source.service)}`
  checkOptions(what, source, {
    service: true,
    version: true,
    isDeprecated: true,
    upstream: true,
    mount: true,
    openApi: true,
    asyncApi: true,
    paths: true,
    headers: true,
  })
  const { service, upstream, mount = `/${service}`, openApi, asyncApi, headers = {} } = source
  if (typeof service !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(service)) {
    throw new LockstepError(
      'invalid-option',
      `The service ${quote(service)} cannot be named so: give up to 64 of [A-Za-z0-9_-].`,
    )
  }
  const base = readUrl(what, upstream)
  const folder = new URL(`${base.pathname.replace(/\/+$/, '')}/`, base)
  const find = (given: string | false | undefined, fallback: string | undefined): URL | undefined => {
    const reference = given ?? fallback
    if (reference === false || reference === undefined) return undefined
    return readUrl(what, new URL(reference, folder).href)
  }
  return {
    service,
    version: source.version,
    isDeprecated: source.isDeprecated ?? false,
    openApi: find(openApi, '_openapi'),
    asyncApi: find(asyncApi, openApi === undefined ? '_asyncapi' : undefined),
    isOwn: openApi === undefined,
    root: folder.pathname.replace(/\/+$/, ''),
    mount,
    paths: source.paths,
    headers,
  }
}

function readUrl(what: string, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url !== undefined && /^https?:$/.test(url.protocol)) return url
  throw new LockstepError('invalid-option', `${what} are at ${quote(text)}, which is no URL of HTTP.`)
}
