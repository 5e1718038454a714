/** `lockstep/gateway`: the one front door. */
export { type AccessOptions, openAccess } from './access/access.ts'
export { type AccessSettings, accessSections, readAccessSettings } from './access/access-settings.ts'
export {
  addKey,
  isValidKey,
  type KeyRecord,
  type NewKey,
  type NewKeyOptions,
  readKeys,
  readLastUsed,
  revokeKey,
  rotateKey,
} from './access/key-file.ts'
export type { Admission, Admitter } from './admission.ts'
export type { GatewayLogEntry } from './front.ts'
export { type Gateway, type GatewayOptions, type GatewayParts, openGateway } from './gateway.ts'
export type { OwnPages } from './own-pages.ts'
export { findPartFaults, openGatewayParts, type PartsOptions } from './parts.ts'
export type { GatewayHealth, GatewayReport, RouteReport } from './report.ts'
export type { GatewayAnswer, GatewayRequest } from './request.ts'
export { type GatewaySettings, legacyName, otherSections } from './settings.ts'
export { readGatewaySettings } from './settings-reader.ts'
export type { Visibility } from './visibility.ts'
