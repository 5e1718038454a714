/** `lockstep/gateway`: the one front door. */
export type { Admission, Admitter } from './admission.ts'
export type { OwnPages } from './own-pages.ts'
export type { GatewayAnswer, GatewayRequest } from './request.ts'
export type { Visibility } from './visibility.ts'
