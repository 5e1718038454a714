/** A follower's view: one language, some members, the open projects only, and beside each its owner. */
import { createMemoryHub } from 'lockstep/broker'
import { connect } from 'lockstep/client'
import { createMemoryLog } from 'lockstep/log'
import { type ApiOf, defineResource, openService } from 'lockstep/service'

const people = defineResource('people', {
  schema: { type: 'object', properties: { name: { type: 'string' } } },
})
const projects = defineResource('projects', {
  languages: ['en', 'fr'],
  references: { owner: 'people' },
  schema: {
    type: 'object',
    properties: {
      title: { type: 'string', translatable: true },
      owner: { type: 'string' },
      status: { enum: ['open', 'closed'] },
    },
  },
})

const hub = createMemoryHub()
await using log = createMemoryLog()
await using service = await openService({ resources: [people, projects], log, broker: hub.connect() })
await service.transaction(async tx => {
  await tx.create(people, { id: 'ann', name: 'Ann' })
  await tx.create(projects, { id: 'a', title: { en: 'Bread', fr: 'Pain' }, owner: 'ann', status: 'open' })
  await tx.create(projects, { id: 'b', title: { en: 'Wine' }, owner: 'ann', status: 'closed' })
})

await using lockstep = await connect<ApiOf<[typeof people, typeof projects]>>({
  api: 'http://localhost',
  broker: hub.connect(),
  // In one process there is no need of a socket.
  fetch: (input, init) => service.fetch(new Request(input, init)),
})
const open = lockstep.follow('/projects', {
  lang: 'fr',
  fields: 'title',
  where: { status: 'open' },
  embed: 'owner',
})
await open.ready
console.log(JSON.stringify([...open.state.values()]))

open.on('change', ({ event, id, changes }) =>
  console.log(event, id, ...(changes ? [JSON.stringify(changes)] : [])),
)
const { marker } = await service.transaction(async tx => {
  await tx.patch(people, 'ann', { name: 'Anna' })
})
await open.atLeast(marker)
await open.atLeast((await service.transaction(tx => tx.patch(projects, 'b', { status: 'open' }))).marker)
await open.atLeast((await service.transaction(tx => tx.patch(projects, 'a', { status: 'closed' }))).marker)
