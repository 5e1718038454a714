/** The projects of the demo: described in English and French, with the ids of users as `owner` and `members`. */
import { defineResource, type StateOf } from 'lockstep/service'
import { runService } from './run-service.ts'

const users = `${process.env['USERS_URL'] || 'http://127.0.0.1:3001'}/users`
const projects = defineResource('projects', {
  languages: ['en', 'fr'],
  references: { owner: users, members: users },
  schema: {
    type: 'object',
    required: ['name', 'owner'],
    additionalProperties: false,
    properties: {
      name: { type: 'string', minLength: 1, maxLength: 200 },
      description: { type: 'string', maxLength: 10_000, translatable: true },
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
    description: { en: 'A basic example', fr: 'Un exemple simple' },
    avatar: '/pictures/sandbox.svg',
    owner: 'johndoe',
    members: ['johndoe', 'janedoe'],
  },
  {
    id: 'website',
    name: 'Website',
    description: { en: 'Pages that stay right', fr: 'Des pages qui restent justes' },
    avatar: '/pictures/website.svg',
    owner: 'janedoe',
    members: ['janedoe', 'maxmuster', 'erikamuster'],
  },
])
