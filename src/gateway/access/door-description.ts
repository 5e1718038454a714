/** What the door of a face asks for and answers by itself, for the joined documents: keys and tokens, refusals, limits. */
import { type ErrorCode, errorCodes, type JsonObject } from '../../contract/index.ts'
import type { DoorDescription } from '../documents/part.ts'
import type { AccessSettings } from './access-settings.ts'

const codesOfAll: readonly ErrorCode[] = [
  ...(['invalid-path', 'invalid-request', 'body-too-large', 'api-refused'] as const),
  ...(['api-unreachable', 'overloaded', 'timeout'] as const),
]

/** `access`: `undefined` where everybody may come in. */
export function describeDoor(
  access: AccessSettings | undefined,
  face: 'internal' | 'public',
): DoorDescription {
  const isGuarded = access?.guarded.has(face) === true
  const plans = access === undefined ? [] : isGuarded ? [...access.plans.values()] : [access.anonymous]
  const isLimited = plans.some(plan => plan !== undefined && !plan.isUnlimited)
  const codes: ErrorCode[] = [
    ...codesOfAll,
    ...(face === 'public' ? (['not-found'] as const) : []),
    ...(isGuarded ? (['invalid-credentials', 'insufficient-scope'] as const) : []),
    ...(isGuarded || isLimited ? (['rate-limited'] as const) : []),
  ]
  const byStatus = Object.groupBy(codes, code => String(errorCodes[code].status))
  return {
    ...(isGuarded ? { security: describeSecurity(access) } : {}),
    responses: Object.fromEntries(
      Object.entries(byStatus).map(([status, each]) => [status, describeProblem(status, each ?? [])]),
    ),
    headers: isLimited ? limitHeaders : {},
    schemas: { Problem: problem },
  }
}

function describeSecurity({
  keys,
  issuers,
  anonymous,
}: AccessSettings): NonNullable<DoorDescription['security']> {
  const schemes: JsonObject = {}
  if (keys !== undefined) {
    schemes['apiKey'] = { type: 'http', scheme: 'bearer', description: 'An API key: `Bearer lsk_…`.' }
    schemes['apiKeyHeader'] = {
      type: 'apiKey',
      in: 'header',
      name: 'X-API-Key',
      description: 'The same key.',
    }
  }
  for (const { name, issuer } of issuers)
    schemes[`jwt.${name}`] = {
      type: 'http',
      scheme: 'bearer',
      bearerFormat: 'JWT',
      description: `A token of ${issuer}`,
    }
  const requirements: JsonObject[] = Object.keys(schemes).map(name => ({ [name]: [] }))
  // Who brings nothing has a plan, too.
  if (anonymous !== undefined) requirements.push({})
  return { schemes, requirements }
}

function describeProblem(status: string, codes: readonly ErrorCode[]): JsonObject {
  const headers: JsonObject = {}
  if (status === '429' || status === '503')
    headers['Retry-After'] = { description: 'In seconds.', schema: { type: 'integer', minimum: 1 } }
  if (status === '401') headers['WWW-Authenticate'] = { schema: { type: 'string', const: 'Bearer' } }
  return {
    description: `The gateway: ${codes.map(code => `${errorCodes[code].title} (\`${code}\`)`).join('; ')}.`,
    ...(Object.keys(headers).length === 0 ? {} : { headers }),
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Gateway.Problem' } } },
  }
}

const limitHeaders: JsonObject = {
  RateLimit: {
    description:
      'What is left of the quota that is nearest to its end, and in how many seconds it is whole again.',
    schema: { type: 'string' },
    example: '"second";r=9;t=1',
  },
  'RateLimit-Policy': {
    description: 'The quotas, each with its window in seconds.',
    schema: { type: 'string' },
    example: '"second";q=10;w=2, "day";q=1000;w=86400',
  },
}

const problem: JsonObject = {
  type: 'object',
  description: 'A problem document (RFC 9457). Programs switch on `code`.',
  required: ['title', 'status', 'code', 'detail'],
  properties: {
    title: { type: 'string' },
    status: { type: 'integer' },
    code: { type: 'string' },
    detail: { type: 'string' },
  },
}
