/** All checks, in the order in which they are made: those that write, then those that judge all that was written. */
import { concurrencyChecks } from './checks/concurrency.ts'
import { conditionChecks } from './checks/conditions.ts'
import { feedChecks } from './checks/feed.ts'
import { listingChecks } from './checks/listing.ts'
import { messageChecks } from './checks/messages.ts'
import { pathChecks } from './checks/paths.ts'
import { recordChecks } from './checks/record.ts'
import { restartChecks } from './checks/restart.ts'
import { retryChecks } from './checks/retries.ts'
import { writingChecks } from './checks/writing.ts'
import type { Check } from './judge.ts'

export const allChecks: readonly Check[] = [
  ...writingChecks,
  ...conditionChecks,
  ...pathChecks,
  ...listingChecks,
  ...feedChecks,
  ...concurrencyChecks,
  ...retryChecks,
  ...restartChecks,
  ...messageChecks,
  ...recordChecks,
]
