/** Fits a mirror to handlers of the Fetch API, and to Hono. */
import { toProblem } from '../contract/index.ts'
import type { FetchHandler } from '../service/index.ts'
import type { Amendment, Meeting, MetAnswer } from './meeting.ts'
import type { Mirror } from './mirror.ts'

/** Larger answers are sent at once, and what they tell of is read anew. */
const maxHeldBytes = 1_048_576

/** Wraps a handler: `export default { fetch: createMirroredFetch(mirror, request => …) }`. What the platform gives beside the request is passed on. */
export function createMirroredFetch<Rest extends readonly unknown[]>(
  mirror: Mirror,
  handler: (request: Request, ...rest: Rest) => Response | Promise<Response>,
): (request: Request, ...rest: Rest) => Promise<Response> {
  return async (request, ...rest) =>
    await attend(mirror, request, async () => await handler(request, ...rest))
}

/** What a mirror needs to know of a context of Hono. */
export interface HonoContext {
  readonly req: { readonly raw: Request }
  res: Response
}

/** A middleware of Hono. */
export type HonoMiddleware = (
  context: HonoContext,
  next: () => Promise<void>,
) => Promise<Response | undefined>

/** Makes the middleware, to be used before the routes that are mirrored: `app.use(createHonoMiddleware(mirror))`. */
export function createHonoMiddleware(mirror: Mirror): HonoMiddleware {
  return async (context, next) => {
    let isAnswered = false
    const answer = await attend(mirror, context.req.raw, async () => {
      isAnswered = true
      await next()
      return context.res
    })
    if (!isAnswered) return answer
    if (answer !== context.res) replace(context, answer)
    return undefined
  }
}

/** Hono adds the headers of a former answer to one that takes its place, unless there is none. */
function replace(context: HonoContext, answer: Response): void {
  context.res = undefined as never
  context.res = answer
}

async function attend(
  mirror: Mirror,
  request: Request,
  handler: FetchHandler | (() => Promise<Response>),
): Promise<Response> {
  const { pathname, search } = new URL(request.url)
  if (mirror.handler.owns(pathname)) return await mirror.fetch(request)
  let meeting: Meeting | undefined
  try {
    meeting = mirror.meet({
      method: request.method,
      target: pathname + search,
      header: name => request.headers.get(name) ?? undefined,
    })
    await meeting?.ready
  } catch (error) {
    return refuse(error)
  }
  if (meeting === undefined) return await handler(request)
  let response: Response
  try {
    response = await handler(request)
  } catch (error) {
    meeting.leave()
    throw error
  }
  return await amend(meeting, response)
}

async function amend(meeting: Meeting, response: Response): Promise<Response> {
  const { status, statusText } = response
  const headers = new Headers(response.headers)
  for (const [name, value] of Object.entries(meeting.headers)) {
    if (name === 'link') headers.append(name, value)
    else headers.set(name, value)
  }
  if (!meeting.isHeld) return new Response(response.body, { status, statusText, headers })
  const { body, rest } = await readHeld(response)
  const amendment: Amendment = await meeting.end({
    status,
    header: name => response.headers.get(name) ?? undefined,
    body,
  })
  for (const [name, value] of Object.entries(amendment.headers)) headers.set(name, value)
  if (amendment.isUnchanged) {
    for (const name of ['content-length', 'content-type']) headers.delete(name)
    return new Response(null, { status: 304, headers })
  }
  return new Response(rest, { status, statusText, headers })
}

interface Held {
  readonly body: MetAnswer['body']
  /** What is to be sent. */
  readonly rest: BodyInit | null
}

/** Reads JSON to its end; another body is passed on as it comes. */
async function readHeld(response: Response): Promise<Held> {
  if (response.body === null) return { body: '', rest: null }
  const length = Number(response.headers.get('content-length') ?? 0)
  if (!/\bjson\b/.test(response.headers.get('content-type') ?? '') || length > maxHeldBytes)
    return { body: undefined, rest: response.body }
  const body = new Uint8Array(await response.arrayBuffer())
  return { body: body.length > maxHeldBytes ? undefined : body, rest: body }
}

/** The intent could not be noted: the handler does not run. */
function refuse(error: unknown): Response {
  const problem = toProblem(error)
  const headers = { 'content-type': 'application/problem+json; charset=utf-8', 'cache-control': 'no-store' }
  return new Response(`${JSON.stringify(problem)}\n`, { status: problem.status, headers })
}
