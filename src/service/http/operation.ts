/** One write as data, whether it is a request of its own or one of a bulk: what it may bring, and what it answers. PROTOCOL.md §4. */
import {
  formatResourceTag,
  type Json,
  LockstepError,
  type Marker,
  quote,
  writeLanguage,
} from '../../contract/index.ts'
import type { LogTransaction } from '../../log/change-log.ts'
import {
  createResource,
  type Outcome,
  patchResource,
  putResource,
  removeResource,
  type WriteContext,
} from '../mirror.ts'
import type { Resource } from '../resource.ts'
import { createJsonPatch, createMergePatch } from '../state-patch.ts'
import { type Conditions, createCheck, refuseConditions } from './conditions.ts'

export type WriteMethod = 'POST' | 'PUT' | 'PATCH' | 'DELETE'

export interface WriteRequest extends Conditions {
  readonly method: WriteMethod
  /** The canonical path that is called: after a POST the collection's, else the resource's. */
  readonly path: string
  /** One of {@link bodyTypes}; `undefined` where there is no body. */
  readonly mediaType?: string
  readonly body?: Json
  /** The language in which texts are written, one of the resource's; `undefined` for maps of all. */
  readonly language?: string
}

/** What a write gave, in the form in which a receipt keeps it. */
export interface Answer {
  readonly status: 200 | 201 | 204
  readonly path: string
  /** Neither of the two after a deletion. */
  readonly version?: number
  readonly stateText?: string
}

/** A write that is ready to be run in a transaction. */
export type Operation = (tx: LogTransaction, context: WriteContext) => Promise<Answer>

/** The media types that each method takes; the first is the default. */
export const bodyTypes: Readonly<Record<WriteMethod, readonly string[]>> = {
  POST: ['application/json'],
  PUT: ['application/json'],
  PATCH: ['application/merge-patch+json', 'application/json-patch+json', 'application/json'],
  DELETE: [],
}
/** The header `Accept-Patch`. */
export const acceptPatch: string = bodyTypes.PATCH.join(', ')

/** The media type of a body, in lower case and without parameters. Errors: `unsupported-media-type`. */
export function checkMediaType(method: WriteMethod, contentType: string | undefined): string {
  const known = bodyTypes[method]
  const mediaType = contentType?.replace(/;.*$/, '').trim().toLowerCase()
  if (mediaType !== undefined && known.includes(mediaType)) return mediaType
  const shown = mediaType === undefined ? 'has no Content-Type' : `is ${quote(contentType)}`
  // A form or script of another site can send a body without one, with the user's cookies and without asking.
  throw new LockstepError(
    'unsupported-media-type',
    `The body ${shown}; ${method} takes ${known.join(' or ')}. Send it with the header Content-Type: ${known[0]}.`,
  )
}

/** Checks what can be checked without the resource. `epoch` is the one that the conditions are compared in. */
export function prepareOperation(
  resource: Resource<object>,
  request: WriteRequest,
  epoch: string,
): Operation {
  const { method, path, body = null, language } = request
  if (resource.limits?.methods.has(method) === false)
    throw new LockstepError('method-not-allowed', `${method} is not allowed on ${path}.`)
  const checkBefore = createCheck(resource, request, epoch)
  const translate = language === undefined ? undefined : createTranslate(resource, language)
  switch (method) {
    case 'POST':
      refuseConditions(request)
      return async (tx, context) =>
        answerOf(
          await createResource(tx, resource, path, body, translate ? { ...context, translate } : context),
        )
    case 'PUT':
      return async (tx, context) =>
        answerOf(await putResource(tx, resource, path, body, { ...context, checkBefore, translate }))
    case 'PATCH': {
      const isJsonPatch = request.mediaType === 'application/json-patch+json'
      const patch = (isJsonPatch ? createJsonPatch : createMergePatch)(resource, body, language)
      return async (tx, context) =>
        answerOf(await patchResource(tx, resource, path, patch, { ...context, checkBefore }))
    }
    case 'DELETE':
      return async (tx, context) => {
        await removeResource(tx, path, { ...context, checkBefore })
        return { status: 204, path }
      }
  }
}

function createTranslate(
  { texts }: Resource<object>,
  language: string,
): NonNullable<WriteContext['translate']> {
  return (before, given) => writeLanguage(before, given, texts, language)
}

/** The ETag of what a write gave; `undefined` after a deletion. */
export function tagOf({ version }: Answer, [position]: Marker, variant = ''): string | undefined {
  return version === undefined ? undefined : formatResourceTag(position!.epoch, version, variant)
}

function answerOf({ path, version, stateText, created }: Outcome): Answer {
  return { status: created ? 201 : 200, path, version, stateText }
}
