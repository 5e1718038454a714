/**
 * The file of API keys: what is kept of each, and how it is changed without being half written.
 *
 * It holds hashes, never keys. Only its owner may read it. Who changes it holds a lock file, so that two changes do not undo each other.
 */
import { randomBytes } from 'node:crypto'
import { open, readFile, rename, rm, stat } from 'node:fs/promises'
import {
  isJsonObject,
  isLockstepError,
  type Json,
  type JsonObject,
  LockstepError,
  parseJson,
  quote,
} from '../../contract/index.ts'
import { createApiKey, hashApiKey } from './api-key.ts'
import { isScope } from './scope.ts'

export interface KeyRecord {
  /** Names the key in lists and logs; says nothing of it. */
  readonly id: string
  readonly name: string
  /** Whose key it is; its limits are shared with the other keys of the account. */
  readonly account: string
  readonly plan: string
  readonly scopes: readonly string[]
  readonly hash: string
  /** RFC 3339, as all times. */
  readonly createdAt: string
  readonly expiresAt?: string
  readonly revokedAt?: string
  /** The id of the key that took its place. */
  readonly replacedBy?: string
}

export interface NewKeyOptions {
  readonly name: string
  readonly account: string
  readonly plan: string
  readonly scopes: readonly string[]
  readonly expiresAt?: string
}

/** A key that was made: the only time that it is seen. */
export interface NewKey {
  readonly key: string
  readonly record: KeyRecord
}

/** How old the lock of somebody who is no more may become. */
const staleLockMs = 10_000
const maxFileBytes = 67_108_864

/** Makes a key and puts it into the file, which is made where it is missing. Errors: `invalid-option`. */
export async function addKey(file: string, options: NewKeyOptions, pepper?: string): Promise<NewKey> {
  checkNewKey(options)
  const made = makeKey(options, pepper)
  await changeKeys(file, keys => [...keys, made.record])
  return made
}

/** Ends a key at once. Errors: `not-found`. */
export async function revokeKey(file: string, id: string): Promise<KeyRecord> {
  let revoked: KeyRecord | undefined
  await changeKeys(file, keys =>
    keys.map(key => {
      if (key.id !== id) return key
      revoked = { ...key, revokedAt: key.revokedAt ?? new Date().toISOString() }
      return revoked
    }),
  )
  return revoked ?? missing(id)
}

/** Makes a key like another one, which goes on for `overlapMs`. Errors: `not-found`, `gone` where it ended already. */
export async function rotateKey(
  file: string,
  id: string,
  {
    overlapMs = 86_400_000,
    pepper,
  }: { readonly overlapMs?: number; readonly pepper?: string | undefined } = {},
): Promise<NewKey & { readonly old: KeyRecord }> {
  let result: (NewKey & { readonly old: KeyRecord }) | undefined
  await changeKeys(file, keys => {
    const before = keys.find(key => key.id === id) ?? missing(id)
    if (!isValidKey(before, Date.now()))
      throw new LockstepError('gone', `The key ${quote(id)} is no longer valid. Create a new one.`)
    const endMs = Math.min(Date.now() + overlapMs, expiryOf(before))
    const made = makeKey(before, pepper)
    const old = { ...before, expiresAt: new Date(endMs).toISOString(), replacedBy: made.record.id }
    result = { ...made, old }
    return [...keys.map(key => (key.id === id ? old : key)), made.record]
  })
  return result!
}

/** Is the key good now? */
export function isValidKey(key: KeyRecord, nowMs: number): boolean {
  return key.revokedAt === undefined && nowMs < expiryOf(key)
}

function expiryOf({ expiresAt }: KeyRecord): number {
  return expiresAt === undefined ? Number.POSITIVE_INFINITY : Date.parse(expiresAt)
}

/** Reads the keys of a file. Errors: `invalid-option` where it cannot be read, or is not such a file. */
export async function readKeys(file: string): Promise<readonly KeyRecord[]> {
  const refuse = (reason: string, cause?: unknown): LockstepError =>
    new LockstepError('invalid-option', `The keys in ${quote(file, 200)} cannot be read: ${reason}.`, {
      cause,
    })
  let text: string
  try {
    const { size } = await stat(file)
    if (size > maxFileBytes) throw refuse(`the file has over ${maxFileBytes} bytes`)
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (isLockstepError(error)) throw error
    const { code = 'it failed' } = error as NodeJS.ErrnoException
    throw refuse(code === 'ENOENT' ? 'there is no such file; lockstep keys create makes it' : code, error)
  }
  let value: Json
  try {
    value = parseJson(text)
  } catch (error) {
    throw refuse('it is not JSON', error)
  }
  const keys = isJsonObject(value) ? value['keys'] : undefined
  if (!Array.isArray(keys)) throw refuse('it has no list "keys"')
  const fault = keys.findIndex(key => !isKeyRecord(key))
  if (fault !== -1) throw refuse(`/keys/${fault} is no key`)
  const records = keys as unknown as readonly KeyRecord[]
  if (new Set(records.map(({ id }) => id)).size < records.length) throw refuse('two keys have the same id')
  return records
}

function isKeyRecord(value: Json): boolean {
  if (!isJsonObject(value)) return false
  const isText = (name: keyof KeyRecord): boolean => typeof value[name] === 'string' && value[name] !== ''
  const isTime = (name: keyof KeyRecord): boolean =>
    value[name] === undefined || !Number.isNaN(Date.parse(String(value[name])))
  const { scopes, hash } = value
  return (
    (['id', 'name', 'account', 'plan'] as const).every(isText) &&
    typeof hash === 'string' &&
    hash.length === 43 &&
    Array.isArray(scopes) &&
    scopes.every(scope => isScope(String(scope))) &&
    (['createdAt', 'expiresAt', 'revokedAt'] as const).every(isTime)
  )
}

function checkNewKey({ name, account, plan, scopes, expiresAt }: NewKeyOptions): void {
  const texts = { name, account, plan }
  for (const [option, text] of Object.entries(texts)) {
    if (/^[\x20-\x7e]{1,128}$/.test(text) && text.trim() === text) continue
    throw new LockstepError(
      'invalid-option',
      `The ${option} of the key is ${quote(text)}. Give 1 to 128 visible ASCII characters.`,
    )
  }
  const wrong = scopes.find(scope => !isScope(scope))
  if (wrong !== undefined || scopes.length === 0)
    throw new LockstepError(
      'invalid-option',
      `${wrong === undefined ? 'The key has no scope' : `${quote(wrong)} is no scope`}. Give such as "people:read", "people:write" or "*:read".`,
    )
  if (expiresAt !== undefined && Number.isNaN(Date.parse(expiresAt)))
    throw new LockstepError(
      'invalid-option',
      `${quote(expiresAt)} is no time. Give one such as 2027-01-31T00:00:00Z.`,
    )
}

function makeKey(
  { name, account, plan, scopes, expiresAt }: NewKeyOptions,
  pepper: string | undefined,
): NewKey {
  const key = createApiKey()
  const record: KeyRecord = {
    id: `k_${randomBytes(8).toString('hex')}`,
    name,
    account,
    plan,
    scopes,
    hash: hashApiKey(key, pepper),
    createdAt: new Date().toISOString(),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  }
  return { key, record }
}

async function changeKeys(
  file: string,
  change: (keys: readonly KeyRecord[]) => readonly KeyRecord[],
): Promise<void> {
  const unlock = await lock(file)
  try {
    const keys = change(await readKeysOrNone(file))
    const text = `{"version":1,"keys":[\n${keys.map(key => JSON.stringify(key)).join(',\n')}\n]}\n`
    await replaceFile(file, text)
  } finally {
    await unlock()
  }
}

async function readKeysOrNone(file: string): Promise<readonly KeyRecord[]> {
  try {
    await stat(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
  }
  return await readKeys(file)
}

/** Whoever reads the file sees the old text or the new one. */
export async function replaceFile(file: string, text: string): Promise<void> {
  const draft = `${file}.${randomBytes(6).toString('hex')}.tmp`
  try {
    const handle = await open(draft, 'wx', 0o600)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(draft, file)
  } catch (error) {
    await rm(draft, { force: true })
    throw new LockstepError(
      'invalid-option',
      `${quote(file, 200)} cannot be written. Check its folder and rights.`,
      {
        cause: error,
      },
    )
  }
}

async function lock(file: string): Promise<() => Promise<void>> {
  const lockFile = `${file}.lock`
  for (const deadline = Date.now() + 2 * staleLockMs; ; ) {
    try {
      await (await open(lockFile, 'wx', 0o600)).close()
      return () => rm(lockFile, { force: true })
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'EEXIST' || Date.now() > deadline)
        throw new LockstepError(
          'invalid-option',
          `${quote(lockFile, 200)} cannot be made (${code}). Is another change under way?`,
          {
            cause: error,
          },
        )
    }
    const age = await stat(lockFile).then(
      ({ mtimeMs }) => Date.now() - mtimeMs,
      () => 0,
    )
    if (age > staleLockMs) await rm(lockFile, { force: true })
    else await new Promise(resolve => setTimeout(resolve, 20))
  }
}

function missing(id: string): never {
  throw new LockstepError(
    'not-found',
    `There is no key ${quote(id)}. lockstep keys list shows those that there are.`,
  )
}

/** When keys were last used, by their ids, from the file beside; `{}` where there is none. */
export async function readLastUsed(file: string): Promise<Readonly<Record<string, string>>> {
  try {
    const value = parseJson(await readFile(`${file}.used`, 'utf8')) as JsonObject
    return isJsonObject(value) ? (value as Record<string, string>) : {}
  } catch {
    return {}
  }
}
