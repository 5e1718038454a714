/** A follower: a live copy of the people, and of one of them. */
import { connect } from 'lockstep/client'
import type { Api } from './01-service.ts'

const { API = 'http://127.0.0.1:3010', BROKER = 'mqtt://127.0.0.1:1884' } = process.env
const lockstep = await connect<Api>({ api: API, broker: BROKER })

const people = lockstep.follow('/people')
await people.ready
console.log(`${people.state.size} people`)

const john = lockstep.follow('/people/johndoe')
john.on('change', () => console.log('John is now', john.state))

for await (const { event, path, state } of people) console.log(event, path, state)
