/** The people of the demo. */
import { defineResource, type StateOf } from 'lockstep/service'
import { runService } from './run-service.ts'

const users = defineResource('users', {
  public: { fields: ['name', 'picture'] },
  schema: {
    type: 'object',
    required: ['name'],
    additionalProperties: false,
    properties: {
      name: { type: 'string', minLength: 1, maxLength: 200 },
      email: { type: 'string', maxLength: 200 },
      picture: { type: 'string', maxLength: 2000 },
    },
  },
})
export type User = StateOf<typeof users>

await runService('users', users, [
  { id: 'johndoe', name: 'John Doe', email: 'johndoe@example.com', picture: '/pictures/johndoe.svg' },
  { id: 'janedoe', name: 'Jane Doe', email: 'janedoe@example.com', picture: '/pictures/janedoe.svg' },
  { id: 'maxmuster', name: 'Max Muster', email: 'max@example.org', picture: '/pictures/maxmuster.svg' },
  { id: 'erikamuster', name: 'Erika Muster', email: '', picture: '/pictures/erikamuster.svg' },
])
