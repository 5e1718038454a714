/** Fits a mirror to `node:http` and to what is built on it: Express, NestJS, Connect. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { toProblem } from '../contract/index.ts'
import { createNodeListener } from '../service/index.ts'
import { holdAnswer } from './held-answer.ts'
import type { Listener } from './local-fetch.ts'
import type { Meeting } from './meeting.ts'
import type { Mirror } from './mirror.ts'

/** A middleware of Express, NestJS, Connect and their like. */
export type NodeMiddleware = (request: IncomingMessage, response: ServerResponse, next: () => void) => void

/** Larger answers are sent at once, and what they tell of is read anew. */
const maxHeldBytes = 1_048_576

/**
 * Makes the middleware, to be used before the routes that are mirrored, and after what says who may ask: `app.use(createNodeMiddleware(mirror))`.
 * It answers what is below the mirror's root.
 */
export function createNodeMiddleware(mirror: Mirror): NodeMiddleware {
  const attendTo = createNodeAttendant(mirror)
  return (request, response, next) => {
    attendTo(request, response, next, () => (request as { readonly body?: unknown }).body)
  }
}

/** As the middleware, told how the framework gives the body that it has parsed. */
export type NodeAttendant = (
  request: IncomingMessage,
  response: ServerResponse,
  next: () => void,
  requestBody: () => unknown,
) => void

export function createNodeAttendant(mirror: Mirror): NodeAttendant {
  const answer = createNodeListener(mirror.handler)
  return (request, response, next, requestBody) => {
    const target = targetOf(request)
    if (isBelowRoot(mirror, target)) {
      answer(request, response)
      return
    }
    let meeting: Meeting | undefined
    try {
      const header = (name: string): string | undefined => headerOf(request, name)
      meeting = mirror.meet({ method: request.method ?? 'GET', target, header })
    } catch (error) {
      refuse(response, error)
      return
    }
    if (meeting === undefined) {
      next()
      return
    }
    const { ready } = meeting
    const go = (): void => {
      attend(response, meeting, requestBody)
      next()
    }
    if (ready === undefined) go()
    else ready.then(go, error => refuse(response, error))
  }
}

/** Is it the mirror's own? */
export function isBelowRoot({ handler }: Mirror, target: string): boolean {
  const mark = target.indexOf('?')
  return handler.owns(mark === -1 ? target : target.slice(0, mark))
}

/** Wraps a listener of bare `node:http`: `createServer(createMirroredListener(mirror, (request, response) => …))`. */
export function createMirroredListener(mirror: Mirror, listener: Listener): Listener {
  const middleware = createNodeMiddleware(mirror)
  return (request, response) => middleware(request, response, () => void listener(request, response))
}

function attend(response: ServerResponse, meeting: Meeting, requestBody: () => unknown): void {
  const { headers } = meeting
  for (const name in headers) {
    if (name === 'link' && response.hasHeader(name)) response.appendHeader(name, headers[name]!)
    else response.setHeader(name, headers[name]!)
  }
  if (!meeting.isHeld) return
  holdAnswer(response, {
    maxBytes: maxHeldBytes,
    end: answer => meeting.end(answer),
    requestBody,
    leave: meeting.isWrite ? () => meeting.leave() : undefined,
  })
}

/** The intent could not be noted: the handler does not run. */
function refuse(response: ServerResponse, error: unknown): void {
  const problem = toProblem(error)
  response.writeHead(problem.status, {
    'content-type': 'application/problem+json; charset=utf-8',
    'cache-control': 'no-store',
    'retry-after': '1',
  })
  response.end(`${JSON.stringify(problem)}\n`)
}

/** Routers that are mounted at a path take it off the URL. */
function targetOf(request: IncomingMessage): string {
  const { originalUrl } = request as { readonly originalUrl?: unknown }
  return typeof originalUrl === 'string' ? originalUrl : (request.url ?? '/')
}

function headerOf({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}
