/** Judges an API of any language by PROTOCOL.md. `lockstep check` is its command. */
import { allChecks } from './catalogue.ts'

export { type CheckOptions, checkApi } from './check-api.ts'
export { readMessageSchemas } from './message-schemas.ts'
export { readOpenApiOutline } from './open-api-outline.ts'
export { type Collection, type Feature, features, type MessageSchemas, type Outline } from './outline.ts'
export { type CheckReport, type CheckResult, formatJunit } from './report.ts'
export { readResourcesFile } from './resources-file.ts'

/** Every check there is, with the rules that it judges. */
export const checks: readonly { readonly id: string; readonly rule: string; readonly title: string }[] =
  allChecks.map(({ id, rule, title }) => ({ id, rule, title }))
