/** The projects of the demo: `owner` and `members` are ids of users. */
import { defineResource, type StateOf } from 'lockstep/service'
import { runService } from './run-service.ts'

const projects = defineResource('projects', {
  schema: {
    type: 'object',
    required: ['name', 'owner'],
    additionalProperties: false,
    properties: {
      name: { type: 'string', minLength: 1, maxLength: 200 },
      description: { type: 'string', maxLength: 10_000 },
      avatar: { type: 'string', maxLength: 2000 },
      owner: { type: 'string', minLength: 1 },
      members: { type: 'array', items: { type: 'string', minLength: 1 }, uniqueItems: true, maxItems: 1000 },
    },
  },
})
export type Project = StateOf<typeof projects>

await runService('projects', projects, [
  {
    id: 'sandbox',
    name: 'Sandbox',
    description: 'A basic example',
    avatar: '/pictures/sandbox.svg',
    owner: 'johndoe',
    members: ['johndoe', 'janedoe'],
  },
  {
    id: 'website',
    name: 'Website',
    description: 'Pages that stay right',
    avatar: '/pictures/website.svg',
    owner: 'janedoe',
    members: ['janedoe', 'maxmuster', 'erikamuster'],
  },
])
