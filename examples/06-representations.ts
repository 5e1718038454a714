/** Lists and representations cut to size: a language, some members, a filter, an order, and what is referred to beside it. */
import { createMemoryLog } from 'lockstep/log'
import { defineResource, openService } from 'lockstep/service'

const people = defineResource('people', {
  schema: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
})
const projects = defineResource('projects', {
  languages: ['en', 'fr'],
  references: { owner: 'people' },
  schema: {
    type: 'object',
    properties: {
      title: { type: 'string', translatable: true },
      owner: { type: 'string' },
      priority: { type: 'integer' },
    },
  },
})

await using log = createMemoryLog()
await using service = await openService({ resources: [people, projects], log })
await service.transaction(async tx => {
  await tx.create(people, { id: 'ann', name: 'Ann' })
  await tx.create(projects, { id: 'a', title: { en: 'Bread', fr: 'Pain' }, owner: 'ann', priority: 1 })
  await tx.create(projects, { id: 'b', title: { en: 'Cheese' }, owner: 'ann', priority: 3 })
  await tx.create(projects, { id: 'c', title: { en: 'Wine', fr: 'Vin' }, owner: 'bob', priority: 2 })
})

async function show(path: string, init?: RequestInit): Promise<void> {
  const response = await service.fetch(new Request(`http://localhost${path}`, init))
  console.log((await response.text()).replaceAll('\n', ''))
}

await show('/projects?owner=ann&priority:lt=9&sort=-priority&fields=title', {
  headers: { 'accept-language': 'fr-CH' },
})
await show('/projects/a?lang=en&fields=title&embed=owner')

// Whoever writes one language leaves the others as they are.
const headers = { 'content-type': 'application/json' }
await show('/projects/b?lang=fr', { method: 'PATCH', headers, body: '{"title":"Fromage"}' })
await show('/projects/b?fields=title')
