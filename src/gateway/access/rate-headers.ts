/** What is said of limits: `RateLimit`, `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers) and `Retry-After`. */
import type { Bucket } from './counter.ts'
import type { Policy, Taken } from './rate.ts'

const policyTexts = new WeakMap<Policy, string>()

/** Of the policy that is nearest to its end, and of all of them. `{}` where nothing is counted. */
export function rateHeaders(buckets: readonly Bucket[], taken: readonly Taken[]): Record<string, string> {
  if (taken.length === 0) return {}
  let nearest = 0
  for (let index = 1; index < taken.length; index++) {
    const share = (at: number): number =>
      taken[at]!.allowed ? taken[at]!.remaining / buckets[at]!.policy.quota : -1
    if (share(index) < share(nearest)) nearest = index
  }
  const { remaining, resetMs } = taken[nearest]!
  const { name } = buckets[nearest]!.policy
  return {
    ratelimit: `"${name}";r=${remaining};t=${Math.ceil(resetMs / 1_000)}`,
    'ratelimit-policy': buckets.map(({ policy }) => policyText(policy)).join(', '),
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
