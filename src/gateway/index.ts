/** `lockstep/gateway`: the one front door. */
export type { Admission, Admitter } from './admission.ts'
export type { GatewayLogEntry } from './front.ts'
export { type Gateway, type GatewayOptions, type GatewayParts, openGateway } from './gateway.ts'
export type { OwnPages } from './own-pages.ts'
export type { GatewayHealth, GatewayReport, RouteReport } from './report.ts'
export type { GatewayAnswer, GatewayRequest } from './request.ts'
export { type GatewaySettings, otherSections, readGatewaySettings } from './settings.ts'
export type { Visibility } from './visibility.ts'
