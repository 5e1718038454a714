/** Asks parsers of others whether a document is valid. */
import { Parser } from '@asyncapi/parser'
import { createConfig, lintFromString } from '@redocly/openapi-core'
import type { JsonObject } from '../../../src/contract/index.ts'

/** The errors of Redocly's rules for what the specification says, for OpenAPI and AsyncAPI. */
export async function lintErrors(document: JsonObject): Promise<readonly string[]> {
  const config = await createConfig({ extends: ['spec'] })
  const problems = await lintFromString({ source: JSON.stringify(document), config })
  return problems
    .filter(({ severity }) => severity === 'error')
    .map(({ message, location }) => `${location[0]?.pointer}: ${message}`)
}

/** The errors of the AsyncAPI initiative's own parser. */
export async function asyncApiErrors(document: JsonObject): Promise<readonly string[]> {
  const { diagnostics } = await new Parser().parse(JSON.stringify(document))
  return diagnostics
    .filter(({ severity }) => severity === 0)
    .map(({ message, path }) => `${path.join('/')}: ${message}`)
}
