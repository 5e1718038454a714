/** The port to what the gateway answers beside the services: the joined documents and their pages. */
import type { GatewayAnswer, GatewayRequest } from './request.ts'

/** Is asked where no route leads to a service, or to the legacy program. */
export interface OwnPages {
  /** `undefined` where there is no page of its own at this path and for this face. */
  answer(request: GatewayRequest): GatewayAnswer | undefined | Promise<GatewayAnswer | undefined>
  /** May be called twice. */
  close(): Promise<void>
}
