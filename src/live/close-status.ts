/** What an error means for the end of a page's connection: the one place that reads codes as WebSocket statuses. PROTOCOL.md §9.12. */
import type { ErrorCode } from '../contract/index.ts'

/** Statuses by code; what is not here is a fault of the page: 4000. */
const statuses: Partial<Readonly<Record<ErrorCode, number>>> = {
  closed: 1012,
  overloaded: 1013,
  internal: 1013,
  'invalid-ticket': 4001,
  'ticket-expired': 4001,
  'access-denied': 4003,
  'too-slow': 4008,
  timeout: 4010,
}
/** Where the page comes back by itself, with its marker. */
const returning: ReadonlySet<number> = new Set([1012, 1013, 4008, 4010])

export function closeStatus(code: ErrorCode): number {
  return statuses[code] ?? 4000
}

export function isReturning(status: number): boolean {
  return returning.has(status)
}
