/**
 * `POST /{collection}/_bulk`: many writes in one request, as one transaction or as one each. PROTOCOL.md §4.15.
 *
 * Each operation is checked, carried out and told as its own request would be. What all of them answer together
 * is bounded, since a small patch may answer with a large state.
 */
import { setImmediate } from 'node:timers/promises'
import { errorCodes, isLockstepError, LockstepError, parseJson, toProblem } from '../../contract/index.ts'
import { type Claim, type Done, hashParts, writeOnce } from '../receipt.ts'
import { pathOf } from '../transaction.ts'
import { type BulkOperation, type BulkOptions, parseBulkRequest } from './bulk-request.ts'
import { createResultSize, type Result, replyWithAll, replyWithEach } from './bulk-result.ts'
import { refuseConditions } from './conditions.ts'
import { markerOf, negotiate, type Route } from './context.ts'
import { type Reply, readQuery } from './exchange.ts'
import { readScope, runAlone, type Scope } from './idempotency.ts'
import { type Answer, bodyTypes, checkMediaType, type Operation, prepareOperation } from './operation.ts'
import { findWriteLanguage } from './view.ts'
import { readBodyText, takeRequestId } from './write.ts'

/** How many operations wait for one commit together. */
const groupSize = 64
/** How long the operations of one transaction may keep the event loop from turning. */
const breathEveryMs = 20

/** A bulk that was read. */
interface Bulk {
  readonly route: Route
  readonly limits: Required<BulkOptions>
  readonly cause: string
  readonly scope: Scope | undefined
  readonly text: string
  readonly operations: readonly BulkOperation[]
  /** The epoch that conditions are compared in. */
  readonly epoch: string
}

export async function writeBulk(route: Route): Promise<Reply> {
  const { context, exchange, target } = route
  const cause = takeRequestId(route)
  const scope = readScope(route, `${target.path}/_bulk`)
  negotiate(exchange, ['application/json'])
  readQuery(exchange.query, [])
  refuseConditions({ ifMatch: exchange.header('if-match'), ifNoneMatch: exchange.header('if-none-match') })
  checkMediaType('POST', exchange.header('content-type'))
  const limits = context.bulk!
  const text = await readBodyText(route, limits.maxBodyBytes)
  const { atomic, operations } = parseBulkRequest(parseJson(text), limits.maxOperations)
  const head = await context.log.head(target.stream)
  const bulk: Bulk = { route, limits, cause, scope, text, operations, epoch: head.epoch }
  return await runAlone(context, scope, async () => {
    if (!atomic) return replyWithEach(route, markerOf(head), await runEach(bulk))
    return replyWithAll(route, await runAll(bulk))
  })
}

/** All in one transaction. Errors: those of the first operation that fails, with its `index`. */
async function runAll(bulk: Bulk): Promise<Done<Answer[]>> {
  const { route, limits, cause, scope, text, operations, epoch } = bulk
  const { log, now } = route.context
  const claims = scope === undefined ? [] : [{ ...scope, fingerprint: hashParts([text]) }]
  return await writeOnce(log, claims, now, async tx => {
    const context = { timeMs: now(), cause }
    const answers: Answer[] = []
    const size = createResultSize(limits.maxResultChars)
    let breathAt = performance.now() + breathEveryMs
    for (const [index, operation] of operations.entries()) {
      try {
        size.check()
        answers.push(size.add(await prepare(route, operation, epoch)(tx, context)))
      } catch (error) {
        throw withIndex(error, index)
      }
      if (performance.now() < breathAt) continue
      await setImmediate()
      breathAt = performance.now() + breathEveryMs
    }
    return answers
  })
}

/** Each in its own transaction, in order; several share a commit. */
async function runEach(bulk: Bulk): Promise<Result[]> {
  const { limits, operations } = bulk
  const results: Result[] = []
  const size = createResultSize(limits.maxResultChars)
  for (let start = 0; start < operations.length; start += groupSize) {
    const group = operations.slice(start, start + groupSize)
    const done = await Promise.all(group.map((_, index) => runOne(bulk, start + index, size.check)))
    for (const result of done) {
      if ('value' in result) size.add(result.value)
      results.push(result)
    }
  }
  return results
}

async function runOne(bulk: Bulk, index: number, checkSize: () => void): Promise<Result> {
  const { route, cause, epoch } = bulk
  const { log, now, onError } = route.context
  const operation = bulk.operations[index]!
  let path: string | undefined
  try {
    path = operation.id === undefined ? undefined : pathOf(route.target.path, operation.id)
    checkSize()
    const work = prepare(route, operation, epoch)
    return await writeOnce(log, claimsOf(bulk, index), now, tx => work(tx, { timeMs: now(), cause }))
  } catch (error) {
    const problem = toProblem(error)
    if (errorCodes[problem.code].status >= 500) onError(error, { stage: 'request' })
    return { path, problem }
  }
}

/** Each operation has the key for itself, with its index; the key alone says that it is none of another kind of bulk. */
function claimsOf({ scope, operations }: Bulk, index: number): readonly Claim[] {
  if (scope === undefined) return []
  return [
    { ...scope, fingerprint: 'each' },
    {
      ...scope,
      key: hashParts([scope.key, String(index)]),
      fingerprint: hashParts([JSON.stringify(operations[index])]),
    },
  ]
}

function prepare({ target, resource }: Route, operation: BulkOperation, epoch: string): Operation {
  const { method, id, body, contentType, lang, ifMatch, ifNoneMatch } = operation
  const path = id === undefined ? target.path : pathOf(target.path, id)
  const mediaType =
    body === undefined ? undefined : checkMediaType(method, contentType ?? bodyTypes[method][0])
  if (body !== undefined && Buffer.byteLength(JSON.stringify(body)) > resource.maxBodyBytes) {
    throw new LockstepError(
      'body-too-large',
      `The body of the operation is over ${resource.maxBodyBytes} bytes. Send less, or in parts.`,
    )
  }
  const language = lang === undefined ? undefined : findWriteLanguage(resource.texts.languages, lang)
  return prepareOperation(resource, { method, path, mediaType, body, language, ifMatch, ifNoneMatch }, epoch)
}

/** Says of an error which operation it is of. */
function withIndex(error: unknown, index: number): unknown {
  if (!isLockstepError(error)) return error
  const { code, message, faults, extra } = error
  const options = { faults, extra: { ...extra, index }, cause: error }
  return new LockstepError(code, `Operation ${index}: ${message}`, options)
}
