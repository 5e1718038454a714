/**
 * The text of a file that somebody wrote: read whole within a limit, as UTF-8, or what is in the way in words.
 *
 * What is in another encoding is refused with its name: read as UTF-8 it would be something else.
 */
import { readFile, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { LockstepError } from 'lockstep/contract'
import { reasonOfSystem } from './system-failure.ts'

export interface FileTextOptions {
  readonly maxBytes: number
  /** What to do about a file that is larger. */
  readonly insteadOfMore: string
}

/** Reads the text; `undefined` where there is no file. Errors: `invalid-option`. */
export async function readFileText(
  path: string,
  { maxBytes, insteadOfMore }: FileTextOptions,
): Promise<string | undefined> {
  try {
    const found = await stat(path)
    if (found.isDirectory()) throw refuse(`${path} is a folder. Give the path of a file.`)
    if (!found.isFile()) throw refuse(`${path} is no file of text. Give the path of a JSON or YAML file.`)
    if (found.size > maxBytes) {
      throw refuse(`${basename(path)} has ${found.size} bytes; ${maxBytes} are allowed. ${insteadOfMore}`)
    }
    return decodeText(basename(path), await readFile(path))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    const reason = reasonOfSystem(error)
    if (reason === undefined) throw error
    throw refuse(`${path} cannot be read: ${reason}. Check the path and its permissions.`, error)
  }
}

/** Decodes UTF-8, with or without a byte order mark. Errors: `invalid-option` with the name of another encoding. */
export function decodeText(name: string, bytes: Uint8Array): string {
  const encoding = nameOtherEncoding(bytes)
  if (encoding !== undefined) {
    throw refuse(`${name} cannot be read: it is encoded in ${encoding}. Save it as UTF-8.`)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    const line = new TextDecoder().decode(bytes).split('\ufffd', 1)[0]!.split('\n').length
    const text = `${name} cannot be read: line ${line} is not UTF-8. Save it as UTF-8, if it is a text at all.`
    throw refuse(text, cause)
  }
}

/** By its byte order mark; or by the zeros that ASCII has in it, since no text has any by itself. */
function nameOtherEncoding(bytes: Uint8Array): string | undefined {
  const [first, second, third, fourth] = bytes
  const isMarked = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)
  if (isMarked) return third === 0 && fourth === 0 ? 'UTF-32' : 'UTF-16'
  if (first !== 0 && second === 0) return third === 0 && fourth === 0 ? 'UTF-32' : 'UTF-16'
  if (first === 0 && second !== undefined && second !== 0) return 'UTF-16'
  return undefined
}

function refuse(message: string, cause?: unknown): LockstepError {
  return new LockstepError('invalid-option', message, { cause })
}
