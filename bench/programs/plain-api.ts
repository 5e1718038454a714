/** A REST API in memory on `node:http` alone, which knows nothing of Lockstep: what a sidecar stands before. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createPerson, type Person } from '../harness/people.ts'
import { runProgram } from '../harness/program.ts'

runProgram(async ({ people }: { people: number }) => {
  const table = new Map<string, Person>()
  for (let number = 0; number < people; number++) table.set(`person-${number}`, createPerson(number))
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8')
    request.on('data', (part: string) => {
      body += part
    })
    request.on('end', () => {
      const id = /^\/people\/([^/?]+)$/.exec(request.url ?? '')?.[1]
      if (request.method === 'PATCH' && id !== undefined)
        table.set(id, { ...table.get(id)!, ...JSON.parse(body) })
      const found = id === undefined ? [...table.values()] : table.get(id)
      const answer = JSON.stringify(found ?? {})
      response.writeHead(found === undefined ? 404 : 200, {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(answer),
      })
      response.end(answer)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return { ready: { port: (server.address() as AddressInfo).port } }
})
