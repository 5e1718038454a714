import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { isLockstepError } from '../../src/contract/index.ts'
import { createTickets } from '../../src/live/ticket.ts'

const [one, two] = [
  { id: 'one', secret: 'a'.repeat(32) },
  { id: 'two', secret: 'b'.repeat(32) },
]
const grant = { audience: 'ann', follow: [{ path: '/people', fields: ['name'] }] }
const refuses = (work: () => unknown, code: string, what?: string): void =>
  assert.throws(work, error => isLockstepError(error) && error.code === code, what)

test('a ticket says what it was made for, until it expires', () => {
  let now = 1_000
  const tickets = createTickets({ keys: [one], lifetimeMs: 60_000, now: () => now })
  const ticket = tickets.issue(grant)
  assert.deepEqual(tickets.verify(ticket), { ...grant, expiresAtMs: 61_000 })
  assert.equal(tickets.remainingMs(tickets.verify(ticket)), 60_000)
  now = 60_999
  tickets.verify(ticket)
  now = 61_000
  refuses(() => tickets.verify(ticket), 'ticket-expired')
})

test('no change of a ticket goes unnoticed', () => {
  const tickets = createTickets({ keys: [one] })
  const ticket = tickets.issue(grant)
  fc.assert(
    fc.property(fc.nat({ max: ticket.length - 1 }), fc.constantFrom(...'Aa0.-_=é'), (at, character) => {
      const changed = ticket.slice(0, at) + character + ticket.slice(at + 1)
      if (changed === ticket) return
      // The last character of base64url has bits that mean nothing; the bytes are then the same.
      const isSame =
        at === ticket.length - 1 &&
        Buffer.from(changed.slice(-43), 'base64url').equals(Buffer.from(ticket.slice(-43), 'base64url'))
      if (!isSame) refuses(() => tickets.verify(changed), 'invalid-ticket', changed)
    }),
    { numRuns: 500 },
  )
  const [, , payload] = ticket.split('.')
  const richer = Buffer.from(Buffer.from(payload!, 'base64url').toString().replace('ann', 'eve')).toString(
    'base64url',
  )
  refuses(() => tickets.verify(ticket.replace(payload!, richer)), 'invalid-ticket')
  for (const text of [
    '',
    '1',
    '1.one',
    '...',
    '1.one.e30.',
    `1.one.e30.${'A'.repeat(43)}`,
    '💥'.repeat(10),
  ]) {
    refuses(() => tickets.verify(text), 'invalid-ticket', text)
  }
})

test('keys are rotated without a ticket being lost, and a key that is taken out is out', () => {
  const before = createTickets({ keys: [one] }).issue(grant)
  const rotating = createTickets({ keys: [two, one] })
  assert.equal(rotating.verify(before).audience, 'ann')
  const after = createTickets({ keys: [two] })
  assert.equal(after.verify(rotating.issue(grant)).audience, 'ann')
  refuses(() => after.verify(before), 'invalid-ticket')
  const impostor = createTickets({ keys: [{ id: 'two', secret: 'c'.repeat(32) }] })
  refuses(() => after.verify(impostor.issue(grant)), 'invalid-ticket')
})

test('keys that are weak or named alike, and tickets that would be too long, are refused', () => {
  refuses(() => createTickets({ keys: [] }), 'invalid-option')
  refuses(() => createTickets({ keys: [{ id: 'one', secret: 'short' }] }), 'invalid-option')
  refuses(() => createTickets({ keys: [{ id: 'a.b', secret: one.secret }] }), 'invalid-option')
  refuses(() => createTickets({ keys: [one, one] }), 'invalid-option')
  refuses(() => createTickets({ keys: [one], lifetimeMs: 0 }), 'invalid-option')
  const fields = Array.from({ length: 32 }, (_, index) => `${'x'.repeat(200)}${index}`)
  refuses(
    () => createTickets({ keys: [one] }).issue({ audience: 'ann', follow: [{ path: '/p', fields }] }),
    'invalid-option',
  )
})
