/** The documented schemas of messages, by the channels of an AsyncAPI 3 document. */
import { isJsonObject, type JsonObject, LockstepError } from '../contract/index.ts'
import type { MessageSchemas } from './outline.ts'
import { compileSchema, resolveReference, type Validate } from './schema.ts'

/** Errors: `invalid-option` for what is no AsyncAPI 3 document. */
export function readMessageSchemas(document: JsonObject, source: string): MessageSchemas {
  const { asyncapi, channels } = document
  if (typeof asyncapi !== 'string' || !/^3\./.test(asyncapi) || !isJsonObject(channels)) {
    throw new LockstepError('invalid-option', `${source} is no AsyncAPI 3 document with channels.`)
  }
  const known = Object.values(channels).flatMap(value => {
    const channel = resolveReference(document, value)
    const address = channel?.['address']
    if (typeof address !== 'string' || !isJsonObject(channel?.['messages'])) return []
    const validators = Object.values(channel['messages']).flatMap((message): Validate[] => {
      const payload = resolveReference(document, resolveReference(document, message)?.['payload'])
      return payload === undefined ? [] : [compileSchema(payload, document)]
    })
    return [{ matches: matcher(address), validators }]
  })
  return {
    judge(topic, message) {
      const fitting = known.filter(({ matches }) => matches(topic))
      if (fitting.length === 0) return undefined
      const faults = fitting.flatMap(({ validators }) => validators.map(validate => validate(message)))
      if (faults.length === 0 || faults.some(list => list.length === 0)) return []
      // Of several schemas the one that fits best says most.
      return faults.reduce((least, list) => (list.length < least.length ? list : least))
    },
  }
}

function matcher(address: string): (topic: string) => boolean {
  const levels = address.split('/')
  return topic => {
    const own = topic.split('/')
    return (
      own.length === levels.length &&
      levels.every((level, index) => /^\{.+\}$/.test(level) || level === own[index])
    )
  }
}
