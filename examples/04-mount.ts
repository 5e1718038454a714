/** Inside a server that exists: what is below /api/v1 is answered by Lockstep, the rest by what was there. */
import { createServer } from 'node:http'
import { openSqliteLog } from 'lockstep/log'
import { createNodeListener, defineResource, openService } from 'lockstep/service'

const notes = defineResource('notes', {
  schema: { type: 'object', additionalProperties: false, properties: { text: { type: 'string' } } },
})
const log = await openSqliteLog({ file: process.env['FILE'] ?? 'notes.db' })
const service = await openService({ resources: [notes], log, root: '/api/v1', topicPrefix: 'acme/' })
const listener = createNodeListener(service)

const server = createServer((request, response) => {
  listener(request, response, () => response.end('The rest of the application.\n'))
})
server.listen(Number(process.env['PORT'] ?? 3010), '127.0.0.1', () => {
  const { port } = server.address() as { port: number }
  console.log(`http://127.0.0.1:${port}/api/v1/notes`)
})
