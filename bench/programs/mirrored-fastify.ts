/** Fastify over a plain SQLite table, as it was before, and with a mirror inside. */
import { fastify } from 'fastify'
import { openSqliteLog } from 'lockstep/log'
import { createFastifyPlugin, openMirror } from 'lockstep/middleware'
import { type Person, personSchema } from '../harness/people.ts'
import { runProgram } from '../harness/program.ts'
import { openPeopleTable, type TableOptions } from '../peers/people-table.ts'

export interface MirroredFastifyOptions extends TableOptions {
  /** `none`: as it was before. */
  readonly mirror: 'none' | 'read' | 'whole'
  /** Do answers to GET say anything of it? */
  readonly reads?: boolean
}

runProgram<MirroredFastifyOptions>(async ({ mirror: answers, ...options }) => {
  const table = openPeopleTable(options)
  const app = fastify()
  const mirroring = answers === 'none' ? undefined : await openPeopleMirror(options, answers, table)
  if (mirroring !== undefined) app.register(createFastifyPlugin(mirroring.mirror))
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
  app.get<{ Params: { id: string } }>('/people/:id', (request, reply) => {
    const text = table.read(request.params.id)
    if (text === undefined) return reply.code(404).send({})
    return reply.type('application/json').send(text)
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  await mirroring?.mirror.start()
  const address = app.server.address()
  return {
    ready: { port: typeof address === 'object' ? address?.port : undefined },
    async close() {
      await mirroring?.mirror.close()
      await mirroring?.log.close()
      table.close()
    },
  }
})

async function openPeopleMirror(
  { file, people, reads = true }: TableOptions & { readonly reads?: boolean },
  answers: 'read' | 'whole',
  table: ReturnType<typeof openPeopleTable>,
) {
  const log = await openSqliteLog({ file: `${file}.mirror` })
  const readPerson = (id: string): unknown => {
    const text = table.read(id)
    return text === undefined ? undefined : JSON.parse(text)
  }
  const readAll = (): unknown[] =>
    Array.from({ length: people }, (_, number) => readPerson(`person-${number}`))
  const resources = { people: { read: readPerson, readAll, answers } }
  return { log, mirror: await openMirror({ log, resources, reads, journalFile: `${file}.intents` }) }
}
