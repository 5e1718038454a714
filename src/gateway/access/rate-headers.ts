/** What is said of limits: `RateLimit`, `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers) and `Retry-After`. */
import type { Bucket } from './counter.ts'
import type { Policy, Taken } from './rate.ts'

const policyTexts = new WeakMap<Policy, string>()

/** Of the policy that is nearest to its end, and of all of them. `{}` where nothing is counted. */
export function rateHeaders(buckets: readonly Bucket[], taken: readonly Taken[]): Record<string, string> {
  if (taken.length === 0) return {}
  let nearest = 0
  let least = Number.POSITIVE_INFINITY
  for (const [index, { allowed, remaining }] of taken.entries()) {
    const share = allowed ? remaining / buckets[index]!.policy.quota : -1
    if (share >= least) continue
    least = share
    nearest = index
  }
  const { remaining, resetMs } = taken[nearest]!
  let policies = ''
  for (const { policy } of buckets) policies += (policies === '' ? '' : ', ') + policyText(policy)
  return {
    ratelimit: `"${buckets[nearest]!.policy.name}";r=${remaining};t=${Math.ceil(resetMs / 1_000)}`,
    'ratelimit-policy': policies,
  }
}

function policyText(policy: Policy): string {
  let text = policyTexts.get(policy)
  if (text === undefined) {
    text = `"${policy.name}";q=${policy.quota};w=${Math.max(1, Math.ceil(policy.windowMs / 1_000))}`
    policyTexts.set(policy, text)
  }
  return text
}

export function retryAfter({ resetMs }: Taken): string {
  return String(Math.max(1, Math.ceil(resetMs / 1_000)))
}
