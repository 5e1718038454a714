/** Markup that the page's own server or templates made, for pages whose CSP asks for Trusted Types: the policy is named `lockstep`. */

interface Policy {
  createHTML(text: string): string
}

let policy: Policy | undefined

export function trustMarkup(text: string): string {
  const { trustedTypes } = globalThis as {
    trustedTypes?: { createPolicy(name: string, rules: Policy): Policy }
  }
  const same: Policy = { createHTML: markup => markup }
  policy ??= trustedTypes?.createPolicy('lockstep', same) ?? same
  return policy.createHTML(text)
}
