/**
 * CORS: which pages of other origins may read answers. Origins are compared with a list, whole and exactly; nothing is reflected.
 *
 * Where nothing is configured, browsers let no page of another origin read anything. Access from public pages to a private network is never
 * granted.
 */
import type { GatewayAnswer, GatewayRequest } from '../request.ts'
import type { Section } from '../section.ts'

export interface CorsSettings {
  /** `*` for all, which never goes with credentials. */
  readonly origins: ReadonlySet<string> | '*'
  readonly methods: readonly string[]
  /** What a page may send; lower case. */
  readonly headers: readonly string[]
  /** What a page may read. */
  readonly exposed: readonly string[]
  readonly credentials: boolean
  /** How long a browser keeps the answer to a preflight. */
  readonly maxAgeSeconds: number
}

const originForm = /^(\*|https?:\/\/[a-z0-9.-]+(:\d+)?|https?:\/\/\[[0-9a-f:]+\](:\d+)?)$/
const tokenForm = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/
const ownHeaders = [
  'ETag',
  'Link',
  'Location',
  'Retry-After',
  'RateLimit',
  'RateLimit-Policy',
  'X-Request-Id',
  'Content-Language',
  'Lockstep-Marker',
  'Lockstep-Versions',
  'Lockstep-Count',
  'Lockstep-Topic',
  'Lockstep-Languages',
  'Lockstep-Texts',
  'Idempotency-Replayed',
]

/** Reads the section `cors`. */
export function readCors(section: Section): CorsSettings {
  const listed = section.texts<readonly string[]>(
    'origins',
    [],
    originForm,
    'an origin such as "https://app.example.com", in small letters, or "*"',
  )
  const credentials = section.flag('credentials', false)
  const isAny = listed.includes('*')
  if (isAny && listed.length > 1) section.fault('origins', 'has "*" beside others. Give one or the other')
  if (isAny && credentials)
    section.fault(
      'credentials',
      'cannot be true where "origins" is "*": name the origins, which then may act as the user',
    )
  const settings: CorsSettings = {
    origins: isAny ? '*' : new Set(listed),
    methods: section.texts(
      'methods',
      ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
      /^[A-Z]+$/,
      'a method in capitals',
    ),
    headers: section
      .texts(
        'headers',
        [
          'authorization',
          'x-api-key',
          'content-type',
          'accept',
          'if-match',
          'if-none-match',
          'idempotency-key',
          'last-event-id',
          'x-request-id',
        ],
        tokenForm,
        'the name of a header',
      )
      .map(name => name.toLowerCase()),
    exposed: section.texts('exposed', ownHeaders, tokenForm, 'the name of a header'),
    credentials,
    maxAgeSeconds: section.count('maxAgeSeconds', { or: 60, min: 0, max: 600 }),
  }
  section.end()
  return settings
}

/** The header by whose value an origin is allowed; `undefined` where it is not. */
function allowedOrigin({ origins }: CorsSettings, origin: string): string | undefined {
  if (origins === '*') return '*'
  // "null" is what sandboxed pages and files call themselves: anyone can be that.
  return origins.has(origin) ? origin : undefined
}

function originOf({ headers }: GatewayRequest): string | undefined {
  const { origin } = headers
  return typeof origin === 'string' && origin !== '' ? origin : undefined
}

/** The headers of an answer to a page. They vary with the origin, whether it is allowed or not. */
export function corsHeaders(
  settings: CorsSettings,
  request: GatewayRequest,
): Readonly<Record<string, string | undefined>> {
  const origin = originOf(request)
  const vary = settings.origins === '*' ? {} : { vary: 'Origin' }
  const allowed = origin === undefined ? undefined : allowedOrigin(settings, origin)
  // What a service says of its own accord counts for nothing.
  if (allowed === undefined) return { ...nothingAllowed, ...vary }
  return {
    ...nothingAllowed,
    ...vary,
    'access-control-allow-origin': allowed,
    'access-control-allow-credentials': settings.credentials ? 'true' : undefined,
    'access-control-expose-headers': settings.exposed.join(', '),
  }
}

const nothingAllowed: Readonly<Record<string, string | undefined>> = {
  'access-control-allow-origin': undefined,
  'access-control-allow-credentials': undefined,
  'access-control-expose-headers': undefined,
  'access-control-allow-private-network': undefined,
}

/** The answer to a preflight; `undefined` where the request is none. One that is refused is told nothing. */
export function answerPreflight(settings: CorsSettings, request: GatewayRequest): GatewayAnswer | undefined {
  const origin = originOf(request)
  const method = request.headers['access-control-request-method']
  if (request.method !== 'OPTIONS' || origin === undefined || typeof method !== 'string') return undefined
  const headers: Record<string, string> = {
    vary: 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers',
  }
  const allowed = allowedOrigin(settings, origin)
  const wanted = String(request.headers['access-control-request-headers'] ?? '')
    .split(',')
    .map(name => name.trim().toLowerCase())
    .filter(name => name !== '')
  const isAllowed =
    allowed !== undefined &&
    settings.methods.includes(method) &&
    wanted.every(name => settings.headers.includes(name))
  if (isAllowed) {
    headers['access-control-allow-origin'] = allowed
    headers['access-control-allow-methods'] = settings.methods.join(', ')
    headers['access-control-allow-headers'] = settings.headers.join(', ')
    headers['access-control-max-age'] = String(settings.maxAgeSeconds)
    if (settings.credentials) headers['access-control-allow-credentials'] = 'true'
  }
  return { status: 204, headers }
}

/** May a page of this origin open a WebSocket? Browsers ask nobody before, and send cookies along. */
export function mayUpgrade(settings: CorsSettings | undefined, request: GatewayRequest): boolean {
  const origin = originOf(request)
  if (origin === undefined) return true
  const { host } = request.headers
  const isOwn =
    URL.canParse(origin) && typeof host === 'string' && new URL(origin).host === host.toLowerCase()
  return isOwn || (settings !== undefined && allowedOrigin(settings, origin) !== undefined)
}
