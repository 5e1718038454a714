/** What `lockstep mirror` mirrors, read from a YAML or JSON file; every fault is said with its line. And the way back: a proposal, written as one. */
import { basename, resolve } from 'node:path'
import { isLockstepError, type Json, LockstepError } from 'lockstep/contract'
import { type MirrorSettings, type Proposal, readMirrorSettings } from 'lockstep/sidecar'
import { stringify } from 'yaml'
import { readFileText } from './file-text.ts'
import { parseServedText, refuseText, shownFaults } from './served-text.ts'

const maxBytes = 1_048_576

/** Reads and checks it. Errors: `invalid-option` with all faults. */
export async function readMirrorFile(file: string): Promise<MirrorSettings> {
  const path = resolve(file)
  const name = basename(path)
  const text = await readFileText(path, { maxBytes, insteadOfMore: 'A mirror needs less to be said.' })
  if (text === undefined) throw new LockstepError('invalid-option', `There is no file ${path}.`)
  try {
    const { value, placeOf } = parseServedText(name, text)
    const { settings, faults } = readMirrorSettings(value)
    if (faults.length === 0) return settings
    const shown = faults.slice(0, shownFaults).map(fault => ({ ...fault, place: placeOf(fault.pointer) }))
    throw refuseText(name, shown, faults.length - shown.length)
  } catch (error) {
    if (!isLockstepError(error)) throw error
    const message = error.message.replace(`${name} cannot be served:`, `${name} cannot be used:`)
    throw new LockstepError(error.code, message, { faults: error.faults })
  }
}

/** Writes a proposal as such a file, its notes as comments. */
export function formatProposal(upstream: string, { resources, notes }: Proposal): string {
  const lines = notes.map(({ resource, text }) => `# ${resource === '' ? '' : `${resource}: `}${text}\n`)
  const body = stringify(
    { upstream, resources: resources as unknown as Json },
    { flowCollectionPadding: true, lineWidth: 120 },
  )
  return `# Proposed by "lockstep mirror"; look at it before you use it.\n${lines.join('')}${body}`
}
