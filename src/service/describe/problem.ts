/** The problem documents that operations answer: by the kind of the operation, which codes at which status. PROTOCOL.md §8. */
import { type ErrorCode, errorCodes, type JsonObject } from '../../contract/index.ts'

/** Kinds of operations that fail alike. */
export type Kind =
  | 'read'
  | 'list'
  | 'create'
  | 'replace'
  | 'patch'
  | 'delete'
  | 'bulk'
  | 'changes'
  | 'plain'
  | 'options'

const always: readonly ErrorCode[] = ['invalid-path', 'not-found', 'internal', 'overloaded']
const reading: readonly ErrorCode[] = [
  ...always,
  'not-acceptable',
  'invalid-query',
  'log-failed',
  'log-closed',
]
const shown: readonly ErrorCode[] = ['gone', 'list-too-large', 'precondition-failed', 'invalid-condition']
const writing: readonly ErrorCode[] = [
  ...reading,
  'gone',
  'log-replaced',
  'outcome-unknown',
  'transaction-timeout',
  'too-many-changes',
  'precondition-failed',
  'invalid-idempotency-key',
  'idempotency-key-reused',
  'idempotency-key-in-use',
]
const withBody: readonly ErrorCode[] = [
  ...writing,
  'invalid-json',
  'unsafe-number',
  'json-too-deep',
  'invalid-state',
  'invalid-id',
  'body-too-large',
  'unsupported-media-type',
  'request-timeout',
]
const conditional: readonly ErrorCode[] = ['invalid-condition', 'precondition-required']

const codes: Readonly<Record<Kind, readonly ErrorCode[]>> = {
  options: always,
  plain: ['not-acceptable', 'invalid-query', 'invalid-condition', 'internal', 'overloaded'],
  read: [...reading, ...shown],
  list: [...reading, ...shown],
  changes: [...reading, 'invalid-position', 'position-gone', 'position-ahead', 'too-many-followers'],
  create: [...withBody, 'already-exists'],
  replace: [...withBody, ...conditional],
  patch: [...withBody, ...conditional, 'invalid-patch', 'patch-conflict'],
  delete: [...writing, ...conditional],
  bulk: [...withBody, ...conditional, 'already-exists', 'invalid-bulk', 'invalid-patch', 'patch-conflict'],
}

const fault: JsonObject = {
  type: 'object',
  required: ['pointer', 'detail'],
  properties: {
    pointer: { type: 'string', description: 'Where in the body (RFC 6901); empty for the whole.' },
    detail: { type: 'string' },
  },
}

/** The schema of any problem document. */
export const problemSchema: JsonObject = {
  type: 'object',
  description: 'A problem document (RFC 9457). Programs switch on `code`.',
  required: ['title', 'status', 'code', 'detail'],
  properties: {
    title: { type: 'string', description: 'The same for each occurrence of the code.' },
    status: { type: 'integer' },
    code: { type: 'string' },
    detail: { type: 'string', description: 'What failed, with which value, and what to do next.' },
    faults: { type: 'array', items: fault, description: 'The single places of a body that are at fault.' },
    marker: { type: 'string', description: 'Where the stream is now, for `position-gone`.' },
    index: { type: 'integer', description: 'Which operation of a bulk failed.' },
    operation: { type: 'integer', description: 'Which operation of a JSON Patch failed.' },
    pointer: { type: 'string' },
  },
}

/** The name of the component that answers a kind's problems of a status. */
function componentOf(kind: Kind, status: number): string {
  return `${kind}Problem${status}`
}

/** References to the problems of a kind, by status. `except` leaves out codes that a resource cannot give. */
export function problemsOf(kind: Kind, except: readonly number[] = []): JsonObject {
  const found: JsonObject = {}
  for (const status of [...byStatus(kind).keys()].sort((a, b) => a - b)) {
    if (except.includes(status)) continue
    found[status] = { $ref: `#/components/responses/${componentOf(kind, status)}` }
  }
  return found
}

function byStatus(kind: Kind): Map<number, ErrorCode[]> {
  const groups = new Map<number, ErrorCode[]>()
  for (const code of new Set(codes[kind])) {
    const { status } = errorCodes[code]
    groups.set(status, [...(groups.get(status) ?? []), code])
  }
  return groups
}

/** The components that {@link problemsOf} refers to. */
export function problemResponses(kinds: ReadonlySet<Kind>): JsonObject {
  const responses: JsonObject = {}
  for (const kind of kinds)
    for (const [status, list] of byStatus(kind))
      responses[componentOf(kind, status)] = describeProblem(status, list)
  return responses
}

function describeProblem(status: number, list: readonly ErrorCode[]): JsonObject {
  const retry = list.some(code => errorCodes[code].retry) && (status === 503 || status === 409)
  const headers: JsonObject = {}
  for (const name of [
    'Cache-Control',
    'Link',
    'Lockstep-Topic',
    'Lockstep-Marker',
    'Lockstep-Languages',
    'Lockstep-Texts',
    'Vary',
    'X-Request-Id',
    'Accept-Patch',
    ...(retry ? ['Retry-After'] : []),
  ])
    headers[name] = { $ref: `#/components/headers/${name}` }
  return {
    description: list.map(code => `\`${code}\`: ${errorCodes[code].title}.`).join(' '),
    headers,
    content: {
      'application/problem+json': {
        schema: {
          allOf: [
            { $ref: '#/components/schemas/Problem' },
            { type: 'object', properties: { status: { const: status }, code: { enum: [...list] } } },
          ],
        },
        example: {
          title: errorCodes[list[0]!].title,
          status,
          code: list[0]!,
          detail: 'What failed, with which value, and what to do next.',
        },
      },
    },
  }
}
