/** Several resources in one transaction: all or none, in the store as in the messages. */
import { createMemoryLog } from 'lockstep/log'
import { defineResource, openService } from 'lockstep/service'

const people = defineResource('people', {
  schema: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
})
const projects = defineResource('projects', {
  schema: { type: 'object', required: ['owner'], properties: { owner: { type: 'string' } } },
})

await using log = createMemoryLog()
await using service = await openService({ resources: [people, projects], log })

const { value: atlas, marker } = await service.transaction(async tx => {
  const ann = await tx.create(people, { name: 'Ann' })
  return await tx.create(projects, { id: 'atlas', owner: ann.id })
})
console.log(atlas.owner.length, marker.map(position => position.stream).join(' '))

const feed = await service.fetch(new Request('http://localhost/projects/_changes'))
const { changes } = (await feed.json()) as { changes: { event: string; tx: { n: number } }[] }
for (const { event, tx } of changes) console.log(event, tx.n)
