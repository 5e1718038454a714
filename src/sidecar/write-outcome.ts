/** What a write of a client may have changed, by what is known of it at its end. Pure. PROTOCOL.md §15. */
import { isJsonObject, type Json } from '../contract/index.ts'
import type { WriteEnd } from './doubts.ts'
import type { Outcome } from './forwarding.ts'
import { readPointer } from './json-pointer.ts'
import { findField } from './message-fields.ts'
import { resourcePath, valuesOf } from './mirrored.ts'
import type { FittingRule, Target, TargetTable } from './target-table.ts'

/** The request. */
export interface ClientWrite {
  readonly method: string
  readonly target: Target | undefined
  readonly rules: readonly FittingRule[]
}

/** Only an answer that says so is one that changed nothing; these come from who waited too long, and say nothing. */
const unsure = new Set([408, 499])

/** Did it change anything, may it, or may it yet? */
export function judgeEnd({ head, isSent }: Pick<Outcome, 'head' | 'isSent'>): WriteEnd {
  if (!isSent) return 'refused'
  if (head === undefined || head.status >= 500 || head.status === 202) return 'uncertain'
  return head.status >= 400 && !unsure.has(head.status) ? 'refused' : 'answered'
}

/** The paths to be held before it is sent: those that it may change, as far as can be said. */
export function listHeld(table: TargetTable, { target, rules }: ClientWrite): readonly string[] {
  const touched = table.touched(rules, { body: undefined, answer: undefined })
  return target === undefined ? touched : [...new Set([target.path, ...touched])]
}

/** The paths to be looked at because of it. */
export function listDoubts(table: TargetTable, write: ClientWrite, outcome: Outcome): readonly string[] {
  const { target, rules } = write
  const answer = parse(outcome.answerBody)
  const paths = new Set<string>()
  if (rules.length > 0)
    for (const path of table.touched(rules, { body: parse(outcome.sentBody), answer })) paths.add(path)
  if (target?.kind === 'resource') paths.add(target.path)
  else if (target !== undefined) paths.add(findCreated(table, write, target, outcome, answer) ?? target.path)
  return [...paths]
}

/** After a POST to a list: what `Location` names, else the id in the answer; `undefined` where neither says it. */
function findCreated(
  table: TargetTable,
  { method }: ClientWrite,
  { mirrored, path }: Target,
  { head }: Outcome,
  answer: Json | undefined,
): string | undefined {
  if (method !== 'POST' || head === undefined || head.status >= 300 || head.status === 202) return undefined
  const location = findField(head.fields, 'location')
  if (location !== undefined) {
    const base = 'http://api.invalid'
    const found = URL.canParse(location, base) ? table.find(new URL(location, base).pathname) : undefined
    if (found?.kind === 'resource' && !found.isBelow) return found.path
  }
  const id = readPointer(readPointer(answer, mirrored.state), mirrored.id)
  if (typeof id !== 'string' && typeof id !== 'number') return undefined
  try {
    return resourcePath(mirrored, { ...valuesOf(mirrored, path), id: String(id) })
  } catch {
    return undefined
  }
}

function parse(body: Buffer | undefined): Json | undefined {
  if (body === undefined) return undefined
  try {
    const json: Json = JSON.parse(body.toString('utf8'))
    return isJsonObject(json) || Array.isArray(json) ? json : undefined
  } catch {
    return undefined
  }
}
