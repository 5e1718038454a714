/** Fits a mirror to Fastify. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Mirror } from './mirror.ts'
import { createNodeAttendant, isBelowRoot } from './node.ts'

interface FastifyRequest {
  readonly raw: IncomingMessage
  readonly body: unknown
}

interface FastifyReply {
  readonly raw: ServerResponse
  hijack(): unknown
}

/** What a mirror needs of an instance of Fastify. */
export interface FastifyInstance {
  addHook(
    name: 'onRequest',
    hook: (request: FastifyRequest, reply: FastifyReply, done: () => void) => void,
  ): unknown
}

/** A plugin of Fastify. */
export type FastifyPlugin = (app: FastifyInstance, options: unknown, done: () => void) => void

/** Makes the plugin, to be registered before the routes that are mirrored: `app.register(createFastifyPlugin(mirror))`. */
export function createFastifyPlugin(mirror: Mirror): FastifyPlugin {
  const attendTo = createNodeAttendant(mirror)
  const plugin: FastifyPlugin = (app, _options, done) => {
    app.addHook('onRequest', (request, reply, next) => {
      const { raw } = request
      // What the mirror answers itself is no matter of Fastify's.
      if (isBelowRoot(mirror, raw.url ?? '/')) reply.hijack()
      attendTo(raw, reply.raw, next, () => request.body)
    })
    done()
  }
  // It is for the routes of those who register it, not for those of the plugin itself.
  return Object.assign(plugin, {
    [Symbol.for('skip-override')]: true,
    [Symbol.for('fastify.display-name')]: 'lockstep',
  })
}
