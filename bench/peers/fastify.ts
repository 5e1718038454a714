/** The same service on Fastify, with its schema check of the body. */
import Fastify from 'fastify'
import { type Person, personSchema } from '../harness/people.ts'
import { runProgram } from '../harness/program.ts'
import { openPeopleTable, type TableOptions } from './people-table.ts'

runProgram<TableOptions>(async options => {
  const table = openPeopleTable(options)
  const app = Fastify()
  const { properties, additionalProperties } = personSchema
  const schema = { body: { type: 'object', properties, additionalProperties } }
  app.patch<{ Params: { id: string }; Body: Partial<Person> }>(
    '/people/:id',
    { schema },
    (request, reply) => {
      const text = table.patch(request.params.id, request.body)
      if (text === undefined) return reply.code(404).send({})
      return reply.type('application/json').send(text)
    },
  )
  await app.listen({ port: 0, host: '127.0.0.1' })
  const address = app.server.address()
  return {
    ready: { port: typeof address === 'object' ? address?.port : undefined },
    close: () => table.close(),
  }
})
