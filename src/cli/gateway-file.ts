/** The configuration of a gateway, read from a YAML or JSON file; every fault is said with its line. */
import { basename, dirname, resolve } from 'node:path'
import { type Fault, isLockstepError, type Json, LockstepError } from 'lockstep/contract'
import { findPartFaults, type GatewaySettings, readGatewaySettings } from 'lockstep/gateway'
import { readFileText } from './file-text.ts'
import { parseServedText, refuseText, shownFaults } from './served-text.ts'

export interface GatewayFile {
  /** The absolute path. */
  readonly path: string
  /** Its last part, for messages. */
  readonly name: string
  readonly folder: string
  readonly text: string
  readonly value: Json
  readonly settings: GatewaySettings
}

const maxBytes = 1_048_576

/** Reads and checks it. Errors: `invalid-option` with all faults. */
export async function readGatewayFile(file: string): Promise<GatewayFile> {
  const path = resolve(file)
  const text = await readGatewayText(path)
  if (text === undefined) throw new LockstepError('invalid-option', `There is no file ${path}.`)
  return parseGatewayFile(path, text)
}

/** The text; `undefined` where there is no file. Errors: `invalid-option`. */
export async function readGatewayText(path: string): Promise<string | undefined> {
  return await readFileText(path, { maxBytes, insteadOfMore: 'A gateway needs less to be said.' })
}

/** As {@link readGatewayFile}, of a text that was read already. */
export function parseGatewayFile(path: string, text: string): GatewayFile {
  const name = basename(path)
  try {
    const { value, placeOf } = parseServedText(name, text)
    const { settings, faults: ownFaults } = readGatewaySettings(value)
    const faults = [...ownFaults, ...findPartFaults(settings)]
    if (faults.length > 0) throw refuse(name, faults, placeOf)
    return { path, name, folder: dirname(path), text, value, settings }
  } catch (error) {
    if (!isLockstepError(error)) throw error
    const message = error.message.replace(`${name} cannot be served:`, `${name} cannot be used:`)
    throw new LockstepError(error.code, message, { faults: error.faults })
  }
}

function refuse(
  name: string,
  faults: readonly Fault[],
  placeOf: ReturnType<typeof parseServedText>['placeOf'],
): LockstepError {
  const shown = faults.slice(0, shownFaults).map(fault => ({ ...fault, place: placeOf(fault.pointer) }))
  return refuseText(name, shown, faults.length - shown.length)
}
