/** Asks Redocly's rules whether a document is what its specification says; its package is optional. */
import { realpath } from 'node:fs/promises'
import { sep } from 'node:path'
import type { JsonObject } from '../../contract/index.ts'
import type { Finding } from './finding.ts'
import { loadPackage } from './optional-package.ts'

/** Errors of the specification are `breaking`, recommendations are `warning`. Errors: `missing-dependency`. */
export async function lintDocument(document: JsonObject, isStrict = false): Promise<readonly Finding[]> {
  const { createConfig, lintFromString } = await loadPackage(
    '@redocly/openapi-core',
    'Linting a document',
    () => import('@redocly/openapi-core'),
  )
  const config = await createConfig({ extends: [isStrict ? 'recommended' : 'spec'] })
  const problems = await lintFromString({ source: JSON.stringify(document), config })
  return problems.map(({ ruleId, severity, message, location }) => ({
    rule: ruleId,
    severity: severity === 'error' ? 'breaking' : 'warning',
    pointer: location[0]?.pointer?.replace(/^#/, '') ?? '',
    detail: message.replaceAll(/\s+/g, ' ').trim(),
  }))
}

/** A document of several files as one; `file` is its path. References out of the folder of the file, and over HTTP, are refused. */
export async function bundleFile(file: string): Promise<JsonObject> {
  const { BaseResolver, bundle, createConfig } = await loadPackage(
    '@redocly/openapi-core',
    'A document of several files',
    () => import('@redocly/openapi-core'),
  )
  const folder = file.slice(0, Math.max(file.lastIndexOf('/'), file.lastIndexOf('\\')) + 1)
  const realFolder = (await realpath(folder)).replace(/[/\\]*$/, sep)
  class OwnFolder extends BaseResolver {
    override async loadExternalRef(
      reference: string,
    ): ReturnType<InstanceType<typeof BaseResolver>['loadExternalRef']> {
      // A link in the folder may lead out of it.
      const isInside = reference.startsWith(folder) && (await realpath(reference)).startsWith(realFolder)
      if (!isInside) throw new Error(`${reference} is outside of the folder of the document`)
      return await super.loadExternalRef(reference)
    }
  }
  const config = await createConfig({})
  const { bundle: bundled } = await bundle({
    ref: file,
    config,
    externalRefResolver: new OwnFolder(config.resolve),
    dereference: false,
  })
  return JSON.parse(JSON.stringify(bundled.parsed)) as JsonObject
}
