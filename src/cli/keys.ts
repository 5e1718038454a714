/**
 * `lockstep keys`: makes, lists, ends and replaces the API keys of a gateway, in the file that it reads.
 *
 * A key is printed once, on standard output and nowhere else; a running gateway takes changes up within a second.
 */
import { readFile } from 'node:fs/promises'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { LockstepError, quote } from 'lockstep/contract'
import {
  addKey,
  isValidKey,
  type KeyRecord,
  type NewKey,
  readKeys,
  readLastUsed,
  revokeKey,
  rotateKey,
} from 'lockstep/gateway'
import { formatJsonLine, printable, printLine, printNotice } from './terminal.ts'

const examples = `
Examples:
  $ lockstep keys create web --plan free --scope people:read
  $ lockstep keys create batch --account acme --plan pro --scope '*:write' --expires 90d
  $ lockstep keys list
  $ lockstep keys rotate k_3f2a9c1b7d40e518 --overlap 7d
  $ lockstep keys revoke k_3f2a9c1b7d40e518

A key is shown once and kept as a hash. Services may be named in scopes as in the gateway's file; write includes read.`

interface FileOptions {
  readonly file: string
  readonly pepperFile?: string
  readonly json?: boolean
}
interface CreateOptions extends FileOptions {
  readonly account?: string
  readonly plan: string
  readonly scope: readonly string[]
  readonly expires?: number
}

export function declareKeys(program: Command): void {
  const keys = program.command('keys').description('API keys of a gateway').addHelpText('after', examples)
  withFile(
    keys.command('create').description('make a key, and show it once').argument('<name>', 'what it is for'),
  )
    .option('--account <account>', 'whose it is; its keys share limits (default: the name)')
    .requiredOption('--plan <plan>', "a plan of the gateway's file")
    .requiredOption('--scope <scope>', 'such as people:read or *:write; may be repeated', collect)
    .option('--expires <time>', 'ends after so long, such as 90d or 12h', parseDuration)
    .option('--pepper-file <file>', "the secret of the gateway's pepperFile")
    .option('--json', 'print it as JSON')
    .action(
      async (name: string, { account = name, plan, scope: scopes, expires, ...options }: CreateOptions) => {
        const expiresAt =
          expires === undefined ? {} : { expiresAt: new Date(Date.now() + expires).toISOString() }
        const made = await addKey(
          options.file,
          { name, account, plan, scopes, ...expiresAt },
          await readPepper(options),
        )
        print(made, options)
      },
    )
  withFile(keys.command('list').description('list the keys, without what they are'))
    .option('--json', 'print one JSON object per line')
    .action(list)
  withFile(
    keys.command('revoke').description('end a key at once').argument('<id>', 'as list shows it'),
  ).action(async (id: string, { file }: FileOptions) => {
    const { name } = await revokeKey(file, id)
    printLine(`${id} (${printable(name)}) is revoked.`)
  })
  withFile(
    keys
      .command('rotate')
      .description('make a key like another one, which goes on for a while')
      .argument('<id>', 'as list shows it'),
  )
    .addOption(
      new Option('--overlap <time>', 'how long the old one goes on, such as 7d; 0s ends it')
        .argParser(parseDuration)
        .default(86_400_000, '1d'),
    )
    .option('--pepper-file <file>', "the secret of the gateway's pepperFile")
    .option('--json', 'print it as JSON')
    .action(async (id: string, { overlap, ...options }: FileOptions & { readonly overlap: number }) => {
      const made = await rotateKey(options.file, id, {
        overlapMs: overlap,
        pepper: await readPepper(options),
      })
      print(made, options)
      printNotice(`The old key, ${id}, goes on until ${made.old.expiresAt}.`)
    })
}

function withFile(command: Command): Command {
  return command.option('--file <file>', 'the file of keys', 'keys.json')
}

function print({ key, record }: NewKey, { json }: FileOptions): void {
  printLine(json ? formatJsonLine({ key, ...shown(record) }) : key)
  printNotice(
    `This is ${record.id}, shown this once. Keep it where secrets are kept; send it as Authorization: Bearer …`,
  )
}

/** What may be shown of a key. */
function shown({ hash: _hash, ...record }: KeyRecord): Omit<KeyRecord, 'hash'> {
  return record
}

async function list({ file, json }: FileOptions): Promise<void> {
  const keys = await readKeys(file)
  const used = await readLastUsed(file)
  const now = Date.now()
  for (const key of keys) {
    const lastUsedAt = used[key.id]
    if (json) {
      printLine(formatJsonLine({ ...shown(key), lastUsedAt, valid: isValidKey(key, now) }))
      continue
    }
    const { id, name, account, plan, scopes } = key
    const fields = [
      id,
      name,
      account,
      plan,
      scopes.join(','),
      statusOf(key, now),
      `used ${lastUsedAt ?? 'never'}`,
    ]
    printLine(printable(fields.join('  ')))
  }
  if (keys.length === 0) printNotice('There are no keys. lockstep keys create makes one.')
}

function statusOf(key: KeyRecord, nowMs: number): string {
  if (key.revokedAt !== undefined) return `revoked ${key.revokedAt}`
  if (!isValidKey(key, nowMs)) return `expired ${key.expiresAt}`
  return key.expiresAt === undefined ? 'valid' : `valid until ${key.expiresAt}`
}

async function readPepper({ pepperFile }: FileOptions): Promise<string | undefined> {
  if (pepperFile === undefined) return undefined
  try {
    return (await readFile(pepperFile, 'utf8')).trim()
  } catch (cause) {
    throw new LockstepError('invalid-option', `The pepper ${quote(pepperFile)} cannot be read.`, { cause })
  }
}

function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text]
}

const unitMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

function parseDuration(text: string): number {
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? []
  if (count !== undefined && unit !== undefined) return Number(count) * unitMs[unit]!
  throw new InvalidArgumentError('Give a number with s, m, h or d behind it, such as 90d.')
}
