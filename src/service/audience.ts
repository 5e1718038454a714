/**
 * Who a request is answered as: all of the service, or the public, which has a service of its own made of what is declared public.
 *
 * The gateway says it in a signed token; a request without one is answered as the public, unless the application says otherwise.
 * PROTOCOL.md §13.
 */
import { createHash } from 'node:crypto'
import {
  type AudienceClaims,
  type AudienceFace,
  audienceHeader,
  checkOptions,
  LockstepError,
  parentOf,
  quote,
  streamOf,
} from '../contract/index.ts'
import type { ChangeLog } from '../log/change-log.ts'
import { type AudienceKey, createAudienceCheck } from './audience-token.ts'
import type { PublicOperation } from './face.ts'
import type { HandlerContext } from './http/context.ts'
import type { Exchange } from './http/exchange.ts'
import { createMarkedLog, type FaceOf } from './marked-log.ts'
import { createPublicLog } from './public-log.ts'
import type { Resource } from './resource.ts'
import { createShare } from './share.ts'

export interface AudienceOptions {
  /** The name that the gateway has for this service: tokens are for it alone. */
  readonly service: string
  /**
   * What tokens are signed with: secrets of at least 32 bytes, or Ed25519 public keys as PEM. At most 4: to rotate, add the new one,
   * let the gateway sign with it, take the old one out.
   */
  readonly keys: readonly AudienceKey[]
  /** As whom a request without a token is answered: `internal` only where nobody else can reach the service. @default 'public' */
  readonly default?: AudienceFace
}

type Routes = ReadonlyMap<string, Resource<object>>

/** What is declared public of a service's resources. */
export interface Faces {
  /** The log whose changes are marked with what they are to the public. */
  readonly log: ChangeLog
  readonly faceOf: FaceOf
  /** Stands for all that is declared public of a stream; `undefined` where nothing is. */
  ruleOf(stream: string): string | undefined
  /** The log as the public sees it, and the resources as it knows them. */
  readonly publicLog: ChangeLog
  readonly publicRoutes: Routes
}

/** Errors: `invalid-option` for what cannot be public. */
export function createFaces(log: ChangeLog, routes: Routes, readOnly: boolean): Faces {
  const rules = new Map<string, string>()
  const publicRoutes = new Map<string, Resource<object>>()
  for (const resource of [...routes.values()].sort((a, b) => (a.route < b.route ? -1 : 1))) {
    const { face, route } = resource
    if (face === undefined) continue
    checkFace(resource, routes, readOnly)
    publicRoutes.set(route, publicResourceOf(resource, routes))
    const stream = route.split('/', 1)[0]!
    rules.set(stream, hash(`${rules.get(stream) ?? ''} ${route} ${face.rule}`))
  }
  const resourceOf = (path: string): Resource<object> | undefined => routes.get(routeOf(path))
  const faceOf: FaceOf = path => resourceOf(path)?.face
  const marked = publicRoutes.size === 0 ? log : createMarkedLog(log, faceOf)
  const ruleOf = (stream: string): string | undefined => rules.get(stream)
  const parts = { log: marked, faceOf, resourceOf, ruleOf: (stream: string) => ruleOf(stream) ?? '' }
  return { log: marked, faceOf, ruleOf, publicLog: createPublicLog(parts), publicRoutes }
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8)
}

function routeOf(path: string): string {
  return path
    .slice(1)
    .split('/')
    .filter((_, index) => index % 2 === 0)
    .join('/')
}

function checkFace({ template, route, face }: Resource<object>, routes: Routes, readOnly: boolean): void {
  const refuse = (reason: string): LockstepError =>
    new LockstepError('invalid-option', `public of ${quote(template)} cannot be used: ${reason}.`)
  if (readOnly && face!.where.length > 0)
    throw refuse(
      'its conditions are judged where the service writes, and this one is read-only. Take the conditions out',
    )
  const parent = parentOf(route)
  const above = routes.get(parent)
  if (parent === '' || above === undefined) return
  if (above.face === undefined) throw refuse(`${quote(above.template)}, which it is nested in, is not public`)
  // A parent that becomes hidden would take along what has no change of its own.
  if (above.face.where.length > 0)
    throw refuse(`${quote(above.template)}, which it is nested in, is public only under conditions`)
}

const methodsOf: Readonly<Record<PublicOperation, string>> = {
  read: 'GET',
  create: 'POST',
  put: 'PUT',
  patch: 'PATCH',
  remove: 'DELETE',
}

/** A resource as the public knows it: nobody who works with this one can name what is hidden. */
function publicResourceOf(resource: Resource<object>, routes: Routes): Resource<object> {
  const { operations, where, schema, texts, references, validate } = resource.face!
  const limits = {
    methods: new Set([...operations].map(operation => methodsOf[operation])),
    hasConditions: where.length > 0,
  }
  const embeddable = [...references].filter(
    ([, { target }]) => typeof target === 'string' && routes.get(target)?.face !== undefined,
  )
  return { ...resource, schema, texts, references: new Map(embeddable), validate, limits }
}

/** What answers requests, and as whom. */
export interface Audiences {
  readonly publicContext: HandlerContext
  /** The context that answers a request. Errors: `invalid-credentials`. */
  choose(exchange: Exchange): HandlerContext
}

/** Who asks, as the gateway says it. */
export interface Callers {
  /** As whom a request is answered. Errors: `invalid-credentials`. */
  faceFor(exchange: Exchange): AudienceFace
  /** Whose idempotency keys a request's are, where it is answered as this face. */
  principalFor(face: AudienceFace): (exchange: Exchange) => string | undefined
}

/** Errors: `invalid-option`. */
export function createCallers(
  options: AudienceOptions | undefined,
  { publicRoutes }: Faces,
  principal: ((exchange: Exchange) => string | undefined) | undefined,
  now: () => number,
): Callers {
  const check = options && createAudienceCheck(options.service, options.keys, now)
  const claims = new WeakMap<Exchange, AudienceClaims>()
  return {
    faceFor(exchange) {
      const token = exchange.header(audienceHeader)
      if (check === undefined) {
        if (token === undefined || publicRoutes.size === 0) return 'internal'
        throw new LockstepError(
          'invalid-credentials',
          'The request brings a Lockstep-Audience, which this service cannot verify. Open it with audience: { service, keys }.',
        )
      }
      if (token === undefined) return options!.default ?? 'public'
      const verified = check(token)
      claims.set(exchange, verified)
      return verified.face
    },
    principalFor: face => exchange => {
      const known = principal?.(exchange) ?? claims.get(exchange)?.sub
      // What the public got must never be given to somebody else, nor the other way round, under the same key.
      return face === 'internal' ? known : `public ${known ?? ''}`
    },
  }
}

export interface AudienceParts {
  readonly faces: Faces
  readonly callers: Callers
  /** Answers as the whole service. */
  readonly context: HandlerContext
  /** What stands before the topics of what the public hears; `undefined` where it hears nothing. */
  readonly publicTopicPrefix: string | undefined
}

export function createAudiences({ faces, callers, context, publicTopicPrefix }: AudienceParts): Audiences {
  const { documents } = context
  const publicContext: HandlerContext = {
    ...context,
    log: faces.publicLog,
    routes: faces.publicRoutes,
    topicPrefix: publicTopicPrefix,
    share: createShare(),
    readHealth: undefined,
    principal: callers.principalFor('public'),
    runningScopes: new Set(),
    documents: documents && {
      _openapi: () => documents._openapi('public'),
      _asyncapi: () => documents._asyncapi('public'),
    },
  }
  return {
    publicContext,
    choose: exchange => (callers.faceFor(exchange) === 'public' ? publicContext : context),
  }
}

/** Errors: `invalid-option`. */
export function checkAudience(options: AudienceOptions | undefined): void {
  if (options === undefined) return
  checkOptions('audience of openService', options, { service: true, keys: true, default: true })
  const { service, default: face = 'public' } = options
  if (typeof service !== 'string' || service === '')
    throw new LockstepError(
      'invalid-option',
      'audience of openService needs the service: the name that the gateway has for it.',
    )
  if (face !== 'public' && face !== 'internal')
    throw new LockstepError(
      'invalid-option',
      `audience.default is ${quote(face)}. Give 'public' or 'internal'.`,
    )
}

/** Topics of the public lie beside those of the service, never among them. Errors: `invalid-option`. */
export function checkPublicTopics(prefix: string, topicPrefix: string, routes: Routes): void {
  const streams = new Set([...routes.keys()].map(route => streamOf(`/${route}`)))
  const clash = [...streams, 'lockstep'].some(stream => {
    const own = `${topicPrefix}${stream}/`
    const other = `${prefix}${stream}/`
    return own === other || prefix.startsWith(own) || topicPrefix.startsWith(other)
  })
  if (!clash && prefix !== '') return
  throw new LockstepError(
    'invalid-option',
    `The publicTopicPrefix ${quote(prefix)} is among the service's own topics, below ${quote(topicPrefix)}. Give another one, such as "public/".`,
  )
}
