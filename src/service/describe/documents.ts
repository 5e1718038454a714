/** The documents of a service as they are served: made on their first use, since many services are never asked. */
import { createHash } from 'node:crypto'
import type { Audience, DescribeOptions } from './about.ts'
import { describeAsyncApi } from './async-api.ts'
import { describeOpenApi } from './open-api.ts'

export interface ServedDocument {
  readonly text: string
  readonly etag: string
}

/** By the reserved name that follows the root. */
export interface Documents {
  readonly _openapi: (audience: Audience) => ServedDocument
  readonly _asyncapi: (audience: Audience) => ServedDocument
}

export function createDocuments(options: DescribeOptions): Documents {
  return {
    _openapi: once(audience => JSON.stringify(describeOpenApi({ ...options, audience }))),
    _asyncapi: once(audience => JSON.stringify(describeAsyncApi({ ...options, audience }))),
  }
}

function once(make: (audience: Audience) => string): (audience: Audience) => ServedDocument {
  const made = new Map<Audience, ServedDocument>()
  return audience => {
    let document = made.get(audience)
    if (document === undefined) {
      const text = `${make(audience)}\n`
      document = { text, etag: `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"` }
      made.set(audience, document)
    }
    return document
  }
}
