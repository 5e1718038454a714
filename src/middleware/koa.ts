/** Fits a mirror to Koa. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Mirror } from './mirror.ts'
import { createNodeMiddleware } from './node.ts'

/** What a mirror needs to know of a context of Koa. */
export interface KoaContext {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  respond?: boolean
}

/** A middleware of Koa. */
export type KoaMiddleware = (context: KoaContext, next: () => Promise<unknown>) => Promise<void>

/** Makes the middleware, to be used before the routes that are mirrored: `app.use(createKoaMiddleware(mirror))`. */
export function createKoaMiddleware(mirror: Mirror): KoaMiddleware {
  const middleware = createNodeMiddleware(mirror)
  return async (context, next) => {
    const isPassed = Promise.withResolvers<boolean>()
    const { req, res } = context
    const onClose = (): void => isPassed.resolve(false)
    res.once('close', onClose)
    middleware(req, res, () => isPassed.resolve(true))
    if (await isPassed.promise) {
      res.off('close', onClose)
      await next()
    } else context.respond = false
  }
}
