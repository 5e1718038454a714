/** A REST service on `node:http` and `node:sqlite` alone. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { runProgram } from '../harness/program.ts'
import { openPeopleTable, type TableOptions } from './people-table.ts'

runProgram<TableOptions>(async options => {
  const table = openPeopleTable(options)
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const id = /^\/people\/([^/?]+)$/.exec(request.url ?? '')?.[1]
      const body = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
      const text =
        request.method === 'PATCH' && id !== undefined
          ? table.patch(id, JSON.parse(body.toString()))
          : undefined
      const answer = text ?? '{}'
      response.writeHead(text === undefined ? 404 : 200, {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(answer),
      })
      response.end(answer)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return { ready: { port: (server.address() as AddressInfo).port }, close: () => table.close() }
})
