/**
 * What a file asks to be served: its resources with their first rows, and the settings that go with them.
 *
 * Two forms are read: Lockstep's own, which has a member `resources`, and a plain json-server file. A file is
 * taken whole or refused whole, with every fault.
 */
import { basename, resolve } from 'node:path'
import { type Fault, isJsonObject, LockstepError } from 'lockstep/contract'
import { readFileText } from './file-text.ts'
import { readJsonServerForm } from './json-server-form.ts'
import { readLockstepForm } from './lockstep-form.ts'
import type { ServedContent } from './served-content.ts'
import { parseServedText, refuseText, shownFaults } from './served-text.ts'

export interface ServedFile extends Omit<ServedContent, 'faults'> {
  /** The absolute path. */
  readonly path: string
  /** Its last part, for messages. */
  readonly name: string
  readonly form: 'lockstep' | 'json-server'
  readonly text: string
}

/** What is read into memory. YAML takes far longer to read than JSON. */
const maxBytes = { json: 67_108_864, yaml: 4_194_304 } as const

/** Reads and checks the file. Errors: `invalid-option` with all faults. */
export async function readServedFile(file: string): Promise<ServedFile> {
  const path = resolve(file)
  const text = await readServedText(path)
  if (text === undefined) throw new LockstepError('invalid-option', `There is no file ${path}.`)
  return parseServedFile(path, text)
}

/** Reads the file's text; `undefined` where there is none. Errors: `invalid-option`. */
export async function readServedText(path: string): Promise<string | undefined> {
  const isJson = /\.json$/i.test(path)
  return await readFileText(path, {
    maxBytes: isJson ? maxBytes.json : maxBytes.yaml,
    insteadOfMore: isJson ? 'Serve less, and POST the rest.' : 'Write it as JSON.',
  })
}

/** As {@link readServedFile}, of a text that was read already. */
export function parseServedFile(path: string, text: string): ServedFile {
  const name = basename(path)
  const { value, placeOf } = parseServedText(name, text)
  const refuse = (faults: readonly Fault[]): LockstepError => {
    // Looking for a place goes over the text each time, so only those that are shown are looked for.
    const shown = faults.slice(0, shownFaults).map(fault => ({ ...fault, place: placeOf(fault.pointer) }))
    return refuseText(name, shown, faults.length - shown.length)
  }
  if (!isJsonObject(value)) throw refuse([{ pointer: '', detail: 'must be an object' }])
  const form = isJsonObject(value['resources']) ? 'lockstep' : 'json-server'
  const { faults, ...content } = form === 'lockstep' ? readLockstepForm(value) : readJsonServerForm(value)
  if (faults.length > 0) throw refuse(faults)
  if (content.collections.length === 0) {
    const notices = content.notices.map(notice => ` ${notice}`).join('')
    throw refuse([{ pointer: '', detail: `has no collection to serve.${notices}` }])
  }
  return { ...content, path, name, form, text }
}
