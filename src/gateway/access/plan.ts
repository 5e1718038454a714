/**
 * Plans: how many requests a key, its account and an address may make. The section `plans`.
 *
 * A plan has rates per second and day for each key; the keys of an account share another budget of the same size, unless the plan says a larger
 * one, so that many keys give no more than one. Writes, feeds and WebSockets have budgets of their own besides.
 */
import type { GatewayRequest } from '../request.ts'
import type { Section } from '../section.ts'
import type { Bucket } from './counter.ts'
import { type Policy, perDay, perSecond } from './rate.ts'
import { isReading } from './scope.ts'

/** What a request is to the budgets. */
export type Kind = 'reads' | 'writes' | 'feeds' | 'upgrades'

export interface Plan {
  readonly name: string
  /** Counts nothing. */
  readonly isUnlimited: boolean
  readonly ofKey: readonly Policy[]
  readonly ofAccount: readonly Policy[]
  readonly ofAddress: readonly Policy[]
  readonly ofKind: Readonly<Record<Kind, readonly Policy[]>>
}

export const planForm: RegExp = /^[a-z][a-z0-9_-]*$/

/** Reads one plan: `unlimited`, or its rates. */
export function readPlan(name: string, section: Section): Plan {
  const isUnlimited = section.flag('unlimited', false)
  const ofKey = readPolicies(section, '')
  const account = section.value('account')
  const kinds = (['writes', 'feeds', 'upgrades'] as const).map(
    kind => [kind, readNamed(section, kind)] as const,
  )
  const plan: Plan = {
    name,
    isUnlimited,
    ofKey,
    ofAccount:
      account === undefined
        ? ofKey.map(policy => ({ ...policy, name: `account-${policy.name}` }))
        : readNamed(section, 'account'),
    ofAddress: readNamed(section, 'address'),
    ofKind: { reads: [], writes: [], feeds: [], upgrades: [], ...Object.fromEntries(kinds) },
  }
  const hasRates = [ofKey, plan.ofAddress, ...Object.values(plan.ofKind)].some(list => list.length > 0)
  if (isUnlimited && hasRates)
    section.fault('unlimited', 'is true, and there are rates too. Give one or the other')
  const saysNone = ofKey.length === 0 && section.value('perSecond') === undefined
  if (!isUnlimited && saysNone && section.value('perDay') === undefined)
    section.fault('', 'has no rates. Give "perSecond" or "perDay", or "unlimited: true"')
  section.end()
  return plan
}

function readNamed(section: Section, name: string): readonly Policy[] {
  if (section.value(name) === undefined) return []
  const inner = section.section(name)
  const policies = readPolicies(inner, `${name}-`)
  if (policies.length === 0) inner.fault('', 'has no rates. Give "perSecond" or "perDay"')
  inner.end()
  return policies
}

function readPolicies(section: Section, prefix: string): readonly Policy[] {
  const rate = section.value('perSecond')
  const policies: Policy[] = []
  if (rate !== undefined) {
    if (typeof rate === 'number' && rate > 0 && rate <= 1_000_000) {
      const burst = section.count('burst', { or: Math.max(1, Math.ceil(rate)), max: 1_000_000 })
      policies.push(perSecond(`${prefix}second`, rate, burst))
    } else section.fault('perSecond', 'must be a number above 0, at most 1000000')
  } else if (section.value('burst') !== undefined) section.fault('burst', 'needs "perSecond"')
  section.value('burst')
  const daily = section.count('perDay', { or: undefined, max: 2_000_000_000 })
  if (daily !== undefined) policies.push(perDay(`${prefix}day`, daily))
  return policies
}

/** Whose budgets a request draws on. */
export interface Subject {
  /** Of the key or token; `undefined` for a request without one. */
  readonly key: string | undefined
  readonly account: string | undefined
  readonly network: string
}

/** What is to be taken for a request: of the key first, then of the account, then of the address. */
export function bucketsOf(plan: Plan, kind: Kind, { key, account, network }: Subject): readonly Bucket[] {
  const buckets: Bucket[] = []
  if (plan.isUnlimited) return buckets
  const { name, ofKey, ofAccount, ofAddress, ofKind } = plan
  // Who brings no key is its address.
  const owner = key === undefined ? `${name} address ${network}` : `${name} key ${key}`
  add(buckets, ofKey, owner)
  add(buckets, ofKind[kind], owner)
  if (account !== undefined && ofAccount.length > 0) add(buckets, ofAccount, `${name} account ${account}`)
  if (ofAddress.length > 0) add(buckets, ofAddress, `${name} address ${network}`)
  return buckets
}

function add(buckets: Bucket[], policies: readonly Policy[], key: string): void {
  for (const policy of policies) buckets.push({ key, policy })
}

/** Judged on the normalised path, as everything is. */
export function kindOf({ method, headers, pathInService = '' }: GatewayRequest): Kind {
  if (headers['upgrade'] !== undefined) return 'upgrades'
  if (!isReading(method)) return 'writes'
  const isStream = String(headers['accept'] ?? '')
    .toLowerCase()
    .includes('text/event-stream')
  return isStream || /^\/[^/]+\/_changes\/?$/.test(pathInService) ? 'feeds' : 'reads'
}
