/** An answer in words, and what a refusal must hold. PROTOCOL.md 4.9. */
import { type ErrorCode, errorCodes, isJsonObject, quote } from '../contract/index.ts'
import type { Exchange } from './api.ts'

/** What is wrong with a problem document (4.9); `undefined` where nothing is. */
export function findProblemFault({ headers, json, status }: Exchange): string | undefined {
  const type = headers['content-type'] ?? ''
  if (!/^application\/problem\+json\b/.test(type))
    return `its Content-Type is ${quote(type)} and not application/problem+json`
  if (!isJsonObject(json)) return 'its body is no JSON object'
  const { code, title, detail } = json
  if (typeof code !== 'string' || code === '') return 'it has no "code"'
  if (typeof title !== 'string' || typeof detail !== 'string') return 'it has no "title" or no "detail"'
  if (json['status'] !== status) return `its "status" is ${quote(json['status'])}`
  const entry = errorCodes[code as ErrorCode]
  if (entry !== undefined && entry.status !== status) return `the code ${code} goes with ${entry.status}`
  return undefined
}

/** An exchange in a few words: "PATCH /people/ann was answered with 500 (…)". */
export function show({ method, target, status, json }: Exchange): string {
  const detail =
    isJsonObject(json) && typeof json['detail'] === 'string' ? ` (${quote(json['detail'], 160)})` : ''
  return `${method} ${target} was answered with ${status}${status >= 400 ? detail : ''}`
}
