/** The builds of the demo's projects: their progress moves on its own. */
import { defineResource, type StateOf } from 'lockstep/service'
import { runService } from './run-service.ts'

const builds = defineResource('builds', {
  schema: {
    type: 'object',
    required: ['project', 'number', 'status', 'progress'],
    additionalProperties: false,
    properties: {
      project: { type: 'string', minLength: 1 },
      number: { type: 'integer', minimum: 1 },
      status: { enum: ['running', 'passed', 'failed'] },
      progress: { type: 'integer', minimum: 0, maximum: 100 },
    },
  },
})
export type Build = StateOf<typeof builds>

const service = await runService('builds', builds, [
  { id: 'sandbox-1', project: 'sandbox', number: 1, status: 'running', progress: 0 },
  { id: 'website-1', project: 'website', number: 1, status: 'running', progress: 40 },
])

/** The newest build of each project moves; when it has ended a new one begins, and only the last ones are kept. */
const keptBuilds = 5
const newest = new Map<string, Build>()

async function findNewest(): Promise<void> {
  const response = await service.fetch(new Request('http://localhost/builds?limit=1000'))
  for (const build of (await response.json()) as Build[]) {
    if (build.number > (newest.get(build.project)?.number ?? 0)) newest.set(build.project, build)
  }
}

async function move({ id, project }: Build): Promise<void> {
  const { value } = await service.transaction(async tx => {
    const build = await tx.read(builds, id)
    if (build?.status === 'running') {
      const progress = Math.min(100, build.progress + 1 + Math.floor(Math.random() * 9))
      const status = progress < 100 ? 'running' : Math.random() < 0.8 ? 'passed' : 'failed'
      return await tx.patch(builds, id, { progress, status })
    }
    const number = (build?.number ?? newest.get(project)!.number) + 1
    const oldId = `${project}-${number - keptBuilds}`
    if ((await tx.read(builds, oldId)) !== undefined) await tx.remove(builds, oldId)
    return await tx.create(builds, {
      id: `${project}-${number}`,
      project,
      number,
      status: 'running',
      progress: 0,
    })
  })
  newest.set(project, value)
}

await findNewest()
setInterval(() => {
  for (const build of newest.values()) {
    move(build).catch(error => console.error(`The build ${build.id} could not move: ${error.message}`))
  }
}, 2_000)
