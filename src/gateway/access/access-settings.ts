/**
 * What the configuration says of access: the sections `keys`, `jwt`, `plans`, `accounts`, `counting`, `cors` and `audience`. Every fault with its
 * place.
 */
import type { AudienceFace, Fault, JsonObject } from '../../contract/index.ts'
import { Section } from '../section.ts'
import { type CorsSettings, readCors } from './cors.ts'
import { type Plan, planForm, readPlan } from './plan.ts'
import { readTokenIssuer, type TokenIssuer } from './token-issuer.ts'

export interface AccessSettings {
  /** `undefined` where there are no keys. Files are from the folder of the configuration. */
  readonly keys: { readonly file: string; readonly pepperFile: string | undefined } | undefined
  readonly issuers: readonly TokenIssuer[]
  /** The faces on which a key or token is asked for. */
  readonly guarded: ReadonlySet<AudienceFace>
  readonly plans: ReadonlyMap<string, Plan>
  /** The plan of who brings neither key nor token; `undefined`: he is refused. */
  readonly anonymous: Plan | undefined
  /** Plans of accounts, which win over those of their keys. */
  readonly accounts: ReadonlyMap<string, string>
  readonly counting: { readonly kind: 'memory' | 'redis' | 'postgres'; readonly url: string }
  readonly cors: CorsSettings | undefined
  readonly audienceKeyFile: string | undefined
}

/** The names of the sections that this reads. */
export const accessSections = ['keys', 'jwt', 'plans', 'accounts', 'counting', 'cors', 'audience'] as const

/** Reads the sections; where there are faults the rest counts for nothing. */
export function readAccessSettings(sections: JsonObject): {
  readonly settings: AccessSettings
  readonly faults: readonly Fault[]
} {
  const faults: Fault[] = []
  const known = Object.fromEntries(Object.entries(sections).filter(([name]) => isAccessSection(name)))
  const top = new Section(known, '', faults)
  const keysSection = top.value('keys') === undefined ? undefined : top.section('keys')
  const keys = keysSection && readKeysSection(keysSection)
  const jwt = [...top.sections('jwt', planForm, 'small letters, digits, hyphens and underscores')]
  const issuers = jwt.map(([name, section]) => readTokenIssuer(name, section))
  const plans = new Map<string, Plan>()
  for (const [name, section] of top.sections(
    'plans',
    planForm,
    'small letters, digits, hyphens and underscores',
  ))
    plans.set(name, readPlan(name, section))
  for (const [index, [name, section]] of jwt.entries()) {
    const { plan, issuer } = issuers[index]!
    if (plan !== '' && !plans.has(plan)) section.fault('plan', `is no plan. There are: ${namesOf(plans)}`)
    if (issuers.findIndex(other => other.issuer === issuer) !== index)
      top.faults.push({ pointer: `/jwt/${name}/issuer`, detail: 'is that of another one too' })
  }
  const accounts = readAccounts(top, plans)
  const settings: AccessSettings = {
    keys: keys && { file: keys.file, pepperFile: keys.pepperFile },
    issuers,
    guarded: new Set(keys?.faces ?? (issuers.length > 0 ? ['public'] : [])),
    plans,
    anonymous: plans.get('anonymous'),
    accounts,
    counting: readCounting(top),
    cors: top.value('cors') === undefined ? undefined : readCors(top.section('cors')),
    audienceKeyFile: readAudience(top),
  }
  const hasCallers = keys !== undefined || issuers.length > 0
  if (hasCallers && plans.size === 0)
    top.fault(
      'plans',
      'is missing: every key and token has a plan, such as free: { perSecond: 5 } or pro: { unlimited: true }',
    )
  top.end()
  return { settings, faults }
}

function isAccessSection(name: string): boolean {
  return (accessSections as readonly string[]).includes(name)
}

function readKeysSection(section: Section): {
  readonly file: string
  readonly pepperFile: string | undefined
  readonly faces: readonly AudienceFace[]
} {
  const file = section.text('file', '')
  if (file === '' && section.value('file') === undefined)
    section.fault('', 'needs "file": the file that "lockstep keys" writes')
  const keys = {
    file,
    pepperFile: section.text('pepperFile', undefined),
    faces: section.texts(
      'faces',
      ['public'],
      /^(internal|public)$/,
      '"internal" or "public"',
    ) as readonly AudienceFace[],
  }
  section.end()
  return keys
}

function readAccounts(top: Section, plans: ReadonlyMap<string, Plan>): ReadonlyMap<string, string> {
  const accounts = new Map<string, string>()
  for (const [name, section] of top.sections('accounts', /^[\x20-\x7e]{1,256}$/, 'the name of an account')) {
    const plan = section.text('plan', '')
    if (plans.has(plan)) accounts.set(name, plan)
    else section.fault('plan', `must be a plan. There are: ${namesOf(plans)}`)
    section.end()
  }
  return accounts
}

function readCounting(top: Section): AccessSettings['counting'] {
  const section = top.section('counting')
  const kind = section.text('kind', 'memory', /^(memory|redis|postgres)$/, '"memory", "redis" or "postgres"')
  const url = section.text(
    'url',
    '',
    /^(rediss?|postgres(ql)?):\/\/\S+$/,
    'the URL of a store, such as "redis://127.0.0.1"',
  )
  if (kind !== 'memory' && url === '') section.fault('', 'needs "url": where the store is')
  section.end()
  return { kind: kind as AccessSettings['counting']['kind'], url }
}

function readAudience(top: Section): string | undefined {
  if (top.value('audience') === undefined) return undefined
  const section = top.section('audience')
  const file = section.text('keyFile', undefined)
  if (file === undefined)
    section.fault(
      '',
      'needs "keyFile": a file with a secret of at least 32 bytes, or an Ed25519 private key in PEM',
    )
  section.end()
  return file
}

function namesOf(plans: ReadonlyMap<string, Plan>): string {
  return [...plans.keys()].join(', ') || 'none'
}
