/** One service, two faces: insiders see everything, the public the open jobs without their budgets, and hears of nothing else. */
import { createMemoryHub } from 'lockstep/broker'
import { connect } from 'lockstep/client'
import { createMemoryLog } from 'lockstep/log'
import { defineResource, openService } from 'lockstep/service'

const jobs = defineResource('jobs', {
  schema: {
    type: 'object',
    properties: {
      title: { type: 'string' },
      status: { enum: ['draft', 'open'] },
      budget: { type: 'integer' },
    },
  },
  public: { operations: ['read'], fields: ['title'], where: { status: 'open' } },
})

const hub = createMemoryHub()
await using log = createMemoryLog()
await using service = await openService({
  resources: [jobs],
  log,
  broker: hub.connect(),
  publicTopicPrefix: 'public/',
})
await using lockstep = await connect<{ jobs: { id: string; title?: string } }>({
  api: 'http://localhost',
  broker: hub.connect(),
  // Through a gateway this would be the address of its public face, with a key in the headers.
  fetch: (input, init) => service.public.fetch(new Request(input, init)),
})
const open = lockstep.follow('/jobs')
await open.ready
/** Resolves with the next change that the public hears of. */
const heard = (): Promise<void> =>
  new Promise(resolve => {
    const off = open.on('change', ({ event, state }) => {
      console.log(event, JSON.stringify(state))
      off()
      resolve()
    })
  })

await service.transaction(tx => tx.create(jobs, { id: 'cook', title: 'Cook', status: 'draft', budget: 100 }))
for (const patch of [
  { status: 'open' },
  { title: 'Cook, full time', budget: 200 },
  { status: 'draft' },
] as const) {
  const next = heard()
  await service.transaction(tx => tx.patch(jobs, 'cook', patch))
  await next
}
