/** Reads the protocol vectors of test/cases/, which are JSON so that implementations in any language can use them. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { type ErrorCode, isLockstepError } from 'lockstep/contract'

/** One case: which members it has says which form of test/cases/README.md it is. */
export type Case = Readonly<Record<string, unknown>>

export function readCases(name: string): readonly Case[] {
  const file = new URL(`../cases/${name}.json`, import.meta.url)
  const { about, cases } = JSON.parse(readFileSync(file, 'utf8')) as { about: string; cases: Case[] }
  assert.ok(about.length > 0 && cases.length > 0)
  return cases
}

/** How a failing case is named: what it is about, and its first value. */
export function titleOf(entry: Case): string {
  return JSON.stringify(entry).slice(0, 200)
}

/** What the work gives, or the code with which it fails; any other error goes on. */
export function resultOf<T>(work: () => T): T | { readonly error: ErrorCode } {
  try {
    return work()
  } catch (error) {
    if (isLockstepError(error)) return { error: error.code }
    throw error
  }
}
