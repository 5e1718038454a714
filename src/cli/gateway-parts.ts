/** What stands beside routes and services in a gateway of the command line, made from the sections of its file. */
import type { GatewayParts } from 'lockstep/gateway'
import type { GatewayFile } from './gateway-file.ts'

/** Opens the parts that the file asks for. */
export async function openGatewayParts(_file: GatewayFile): Promise<GatewayParts> {
  return {}
}
