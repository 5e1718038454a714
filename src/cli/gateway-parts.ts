/** What stands beside routes and services in a gateway of the command line, made from the sections of its file. */
import { accessSections, type GatewayParts, openAccess, readAccessSettings } from 'lockstep/gateway'
import { reportInBackground } from './failure.ts'
import type { GatewayFile } from './gateway-file.ts'

/** Opens the parts that the file asks for. Errors: `invalid-option` for files that cannot be read, `missing-dependency`. */
export async function openGatewayParts({ settings, folder }: GatewayFile): Promise<GatewayParts> {
  const { sections } = settings
  if (!accessSections.some(name => sections[name] !== undefined)) return {}
  const access = readAccessSettings(sections).settings
  return { admitter: await openAccess(access, { folder, onError: reportInBackground }) }
}
