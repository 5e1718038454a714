/** A follower in a process of its own, to be killed: people in a replica, over the feed. It tells what it holds at its start. */
import { connect } from 'lockstep/client'

const { API, FILE } = process.env
const lockstep = await connect({ api: API! })
const people = lockstep.follow('/people', { replica: FILE! })
const held = { epoch: people.position?.epoch, seq: people.position?.seq, size: people.state.size }
process.send!({
  ...held,
  status: people.status,
  versions: [...people.state.keys()].map(id => [id, people.versionOf(id)]),
})
people.on('change', ({ event }) => event !== 'refreshed' && process.send!({ changed: true }))
process.on('disconnect', () => process.exit())
