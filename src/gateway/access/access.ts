/**
 * Access ★: who may send a request through a face, and how many. Puts keys, tokens, plans, CORS and the services' audience token together.
 *
 * What cannot be decided is refused: no key file, no keys of an issuer, no plan of this name. Failed attempts have a budget of their own for each
 * address, which those with a valid key do not draw on.
 */
import { readFile } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import {
  type AudienceFace,
  audienceHeader,
  createErrorReport,
  LockstepError,
  quote,
  type ReportError,
} from '../../contract/index.ts'
import type { Admission, Admitter } from '../admission.ts'
import { problemAnswer } from '../answer.ts'
import type { GatewayRequest } from '../request.ts'
import type { AccessSettings } from './access-settings.ts'
import { createAudienceSigner, type SignAudience } from './audience-signer.ts'
import { networkOf } from './client-network.ts'
import { answerPreflight, corsHeaders, mayUpgrade } from './cors.ts'
import { type Bucket, type Counter, createMemoryCounter } from './counter.ts'
import { type GivenCredential, readCredential } from './credential.ts'
import { type KeyRing, openKeyRing } from './key-ring.ts'
import { bucketsOf, kindOf, type Plan } from './plan.ts'
import { type Policy, perSecond, type Taken } from './rate.ts'
import { rateHeaders, retryAfter } from './rate-headers.ts'
import { allows } from './scope.ts'
import { createTokenCheck, type TokenCheck, type TokenFacts } from './token.ts'

export interface AccessOptions {
  /** Where relative names of files begin: the folder of the configuration. @default the working directory */
  readonly folder?: string
  /** Hears of key files and issuers that cannot be read, and of stores that fail. @default writes to stderr */
  readonly onError?: ReportError
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number
}

/** Who sends a request. */
interface Caller {
  readonly key: string | undefined
  readonly account: string | undefined
  readonly subject: string | undefined
  readonly plan: Plan
  readonly scopes: readonly string[]
  /** An API key is for the gateway alone. */
  readonly hasApiKey: boolean
  /** Is what let this request in still good? For what stays open. */
  readonly stillHolds: () => boolean
}

/** Attempts with what is no valid key or token, per address: ten at once, then one in six seconds. */
const failures: Policy = perSecond('auth-failures', 1 / 6, 10)

/** Opens keys, issuers and counters. Errors: `invalid-option`, `missing-dependency`. */
export async function openAccess(settings: AccessSettings, options: AccessOptions = {}): Promise<Admitter> {
  const { folder = '.', now = Date.now } = options
  const onError = createErrorReport(options.onError)
  const fileOf = (name: string): string => (isAbsolute(name) ? name : join(folder, name))
  const { keys, counting } = settings
  const signAudience = await openAudienceSigner(settings, options)
  const pepper = keys?.pepperFile === undefined ? undefined : await readSecret(fileOf(keys.pepperFile))
  const ring = keys && (await openKeyRing({ file: fileOf(keys.file), pepper, onError, now }))
  const issuers = settings.issuers.map(issuer =>
    /^https?:/.test(issuer.jwks) ? issuer : { ...issuer, jwks: fileOf(issuer.jwks) },
  )
  const tokens = createTokenCheck({ issuers, onError, now })
  const counter = await openCounter(counting, onError, now)
  return new Access(settings, { ring, tokens, counter, signAudience, onError, now })
}

/** What signs for services as whom they are asked; `undefined` where the configuration has no key for it. Errors: `invalid-option`. */
export async function openAudienceSigner(
  { audienceKeyFile: file }: AccessSettings,
  { folder = '.', now = Date.now }: AccessOptions = {},
): Promise<SignAudience | undefined> {
  if (file === undefined) return undefined
  return createAudienceSigner(await readSecret(isAbsolute(file) ? file : join(folder, file)), now)
}

async function openCounter(
  { kind, url }: AccessSettings['counting'],
  onError: ReportError,
  now: () => number,
): Promise<Counter> {
  if (kind === 'memory') return createMemoryCounter(now)
  const { openJointCounter } = await import('./joint-counter.ts')
  return await openJointCounter({ kind, url, onError, now })
}

async function readSecret(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (cause) {
    throw new LockstepError(
      'invalid-option',
      `The file ${quote(file, 200)} cannot be read. Name one with a secret.`,
      {
        cause,
      },
    )
  }
}

interface AccessParts {
  readonly ring: KeyRing | undefined
  readonly tokens: TokenCheck
  readonly counter: Counter
  readonly signAudience: SignAudience | undefined
  readonly onError: ReportError
  readonly now: () => number
}

class Access implements Admitter {
  readonly #settings: AccessSettings
  readonly #parts: AccessParts
  /** Told of already. */
  readonly #missingPlans = new Set<string>()
  #closed: Promise<void> | undefined

  constructor(settings: AccessSettings, parts: AccessParts) {
    this.#settings = settings
    this.#parts = parts
  }

  preflight(request: GatewayRequest): ReturnType<NonNullable<Admitter['preflight']>> {
    const { cors } = this.#settings
    return cors && answerPreflight(cors, request)
  }

  admit(request: GatewayRequest): Admission | Promise<Admission> {
    const cors = this.#settings.cors
    const responseHeaders = cors === undefined ? nothingSet : corsHeaders(cors, request)
    if (request.headers['upgrade'] !== undefined && !mayUpgrade(cors, request)) {
      const refusal = new LockstepError('access-denied', 'Pages of this origin may not connect here.')
      return { refused: problemAnswer(refusal), responseHeaders }
    }
    const face: AudienceFace = request.face === 'internal' ? 'internal' : 'public'
    const caller = this.#identify(request, face)
    if (caller instanceof Promise)
      return caller.then(
        known => this.#decide(request, face, known, responseHeaders),
        error => this.#failClosed(error, responseHeaders),
      )
    return this.#decide(request, face, caller, responseHeaders)
  }

  close(): Promise<void> {
    this.#closed ??= (async () => {
      await Promise.all([this.#parts.ring?.close(), this.#parts.counter.close()])
    })()
    return this.#closed
  }

  /** Where it is not known who asks, nobody is let in. */
  #failClosed(error: unknown, responseHeaders: Readonly<Record<string, string | undefined>>): Admission {
    this.#parts.onError(error, { stage: 'access' })
    const refusal = new LockstepError(
      'overloaded',
      'It cannot be checked now who may come in. Try again shortly.',
    )
    return { refused: problemAnswer(refusal), responseHeaders }
  }

  /** Who it is; `undefined` for whom there is no way in; a word on why where the client can do something about it. */
  #identify(request: GatewayRequest, face: AudienceFace): Caller | string | Promise<Caller | string> {
    const { guarded, anonymous } = this.#settings
    if (!guarded.has(face)) return this.#openCaller(anonymous)
    const credential = readCredential(request)
    if ('text' in credential) return this.#identifyBy(credential)
    if (credential.kind === 'none' && anonymous !== undefined) return this.#openCaller(anonymous)
    return refusals[credential.kind]
  }

  #openCaller(plan: Plan | undefined): Caller {
    return {
      key: undefined,
      account: undefined,
      subject: undefined,
      plan: plan ?? unlimited,
      scopes: ['*:write'],
      hasApiKey: false,
      stillHolds: () => true,
    }
  }

  #identifyBy(credential: GivenCredential): Caller | string | Promise<Caller | string> {
    const { ring, tokens } = this.#parts
    if (credential.kind === 'token') {
      const facts = tokens.verify(credential.text)
      return facts instanceof Promise
        ? facts.then(known => this.#tokenCaller(known))
        : this.#tokenCaller(facts)
    }
    const record = ring?.find(credential.text)
    const plan = record && this.#planOf(record.account, record.plan)
    if (record === undefined || plan === undefined) return noSuch
    const { id, account, scopes } = record
    return {
      key: id,
      account,
      subject: account,
      plan,
      scopes,
      hasApiKey: true,
      stillHolds: () => ring!.holds(id),
    }
  }

  #tokenCaller(facts: TokenFacts | undefined): Caller | string {
    const plan = facts && this.#planOf(facts.account, facts.plan)
    if (facts === undefined || plan === undefined) return noSuch
    const { account, subject, scopes, expiresAtMs } = facts
    const stillHolds = (): boolean => this.#parts.now() < expiresAtMs
    return { key: subject, account, subject, plan, scopes, hasApiKey: false, stillHolds }
  }

  #planOf(account: string, named: string): Plan | undefined {
    const name = this.#settings.accounts.get(account) ?? named
    const plan = this.#settings.plans.get(name)
    if (plan === undefined && !this.#missingPlans.has(name)) {
      if (this.#missingPlans.size < 100) this.#missingPlans.add(name)
      this.#parts.onError(
        new Error(`There is no plan ${quote(name)}, which a key or token of ${quote(account)} has.`),
        {
          stage: 'access',
        },
      )
    }
    return plan
  }

  #decide(
    request: GatewayRequest,
    face: AudienceFace,
    caller: Caller | string,
    responseHeaders: Readonly<Record<string, string | undefined>>,
  ): Admission | Promise<Admission> {
    const network = networkOf(request.remoteAddress)
    if (typeof caller === 'string') {
      const buckets = [{ key: network, policy: failures }]
      return this.#count(buckets, responseHeaders, () => ({
        refused: unauthorized(caller),
        responseHeaders,
      }))
    }
    const { key, account, plan, scopes } = caller
    if (!allows(scopes, request.service, request.method)) {
      const refusal = new LockstepError(
        'insufficient-scope',
        `The key or token does not reach ${quote(request.method)} of ${quote(request.service ?? 'this')}.`,
      )
      return { refused: problemAnswer(refusal), responseHeaders }
    }
    const buckets = bucketsOf(plan, kindOf(request), { key, account, network })
    return this.#count(buckets, responseHeaders, rates => ({
      requestHeaders: this.#requestHeaders(request, face, caller),
      responseHeaders: responseHeaders === nothingSet ? rates : { ...responseHeaders, ...rates },
      stillHolds: caller.stillHolds,
    }))
  }

  /** Takes one of each bucket, and goes on where there was one left everywhere. */
  #count(
    buckets: readonly Bucket[],
    responseHeaders: Readonly<Record<string, string | undefined>>,
    goOn: (rates: Record<string, string>) => Admission,
  ): Admission | Promise<Admission> {
    if (buckets.length === 0) return goOn({})
    const judge = (taken: readonly Taken[]): Admission => {
      const rates = rateHeaders(buckets, taken)
      const last = taken.at(-1)!
      if (last.allowed) return goOn(rates)
      return { refused: tooMany(last), responseHeaders: { ...responseHeaders, ...rates } }
    }
    const taken = this.#parts.counter.take(buckets)
    if (!(taken instanceof Promise)) return judge(taken)
    return taken.then(judge, error => this.#failClosed(error, responseHeaders))
  }

  #requestHeaders(
    { service, id }: GatewayRequest,
    face: AudienceFace,
    { subject, scopes, hasApiKey }: Caller,
  ): NonNullable<Admission['requestHeaders']> {
    const { signAudience } = this.#parts
    const withoutKey = hasApiKey ? keyTakenOut : nothingSet
    if (signAudience === undefined || service === undefined) return withoutKey
    const token = signAudience({ service, face, subject, scopes, requestId: id })
    return { ...withoutKey, [audienceHeader]: token }
  }
}

const nothingSet: Readonly<Record<string, string | undefined>> = {}
const keyTakenOut: Readonly<Record<string, string | undefined>> = {
  authorization: undefined,
  'x-api-key': undefined,
}

const refusals = {
  none: 'It needs an API key or a token. Send one as Authorization: Bearer …',
  ambiguous: 'It needs one key or token. Send it as Authorization: Bearer … or X-API-Key, not both',
  'in-url':
    'A key or token stands in the URL, where it may be written into logs. Send it as Authorization: Bearer …, and have another one made',
}
const noSuch = 'The key or token does not hold: it is unknown, expired or revoked, or made for something else'

const unlimited: Plan = {
  name: 'unlimited',
  isUnlimited: true,
  ofKey: [],
  ofAccount: [],
  ofAddress: [],
  ofKind: { reads: [], writes: [], feeds: [], upgrades: [] },
}

function unauthorized(reason: string): ReturnType<typeof problemAnswer> {
  const answer = problemAnswer(new LockstepError('invalid-credentials', `${reason}.`))
  return { ...answer, headers: { ...answer.headers, 'www-authenticate': 'Bearer' } }
}

function tooMany(taken: Taken): ReturnType<typeof problemAnswer> {
  const seconds = retryAfter(taken)
  const answer = problemAnswer(
    new LockstepError('rate-limited', `Too many requests. Try again in ${seconds} s.`),
  )
  return { ...answer, headers: { ...answer.headers, 'retry-after': seconds } }
}
