/** `node:http` alone: reads the body, answers with it, and keeps nothing. What no service on `node:http` can pass. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createPerson } from '../harness/people.ts'
import { runProgram } from '../harness/program.ts'

runProgram(async () => {
  const person = createPerson(0)
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const answer = JSON.stringify({ ...person, ...JSON.parse(Buffer.concat(chunks).toString()) })
      response.writeHead(200, {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(answer),
      })
      response.end(answer)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return { ready: { port: (server.address() as AddressInfo).port } }
})
