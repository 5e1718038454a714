/** The command line: which commands there are, and how it ends. Each command is in a file of its own name. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { styleText } from 'node:util'
import { Command } from 'commander'
import { exitCodes, reportFailure } from './failure.ts'
import { suggest } from './suggestion.ts'
import { endWithBrokenPipe } from './terminal.ts'

/** Only the command that is called is loaded: what `serve` needs would slow down the others. */
const commands: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  serve: async () => (await import('./serve.ts')).declareServe,
  follow: async () => (await import('./follow.ts')).declareFollow,
  tail: async () => (await import('./tail.ts')).declareTail,
  doctor: async () => (await import('./doctor.ts')).declareDoctor,
  check: async () => (await import('./check.ts')).declareCheck,
  acl: async () => (await import('./acl.ts')).declareAcl,
  docs: async () => (await import('./docs.ts')).declareDocs,
  keys: async () => (await import('./keys.ts')).declareKeys,
  gateway: async () => (await import('./gateway.ts')).declareGateway,
  topics: async () => (await import('./topics.ts')).declareTopics,
  mirror: async () => (await import('./mirror.ts')).declareMirror,
}

const exitCodeHelp = `
Exit codes: 0 all went well, 1 it failed, 2 it was called wrongly.
LOCKSTEP_DEBUG=1 adds the stack to errors; NO_COLOR=1 turns colours off.`

/** Runs the command line and sets the process's exit code. Never rejects. */
export async function main(argv: readonly string[]): Promise<void> {
  endWithBrokenPipe()
  try {
    const program = createProgram()
    const called = argv[2] ?? ''
    const names = Object.hasOwn(commands, called) ? [called] : Object.keys(commands)
    for (const name of names) (await commands[name]!())(program)
    const asked = called === 'help' ? argv[3] : undefined
    if (asked !== undefined && !asked.startsWith('-') && ![...Object.keys(commands), 'help'].includes(asked))
      program.error(`error: unknown command '${asked}'${suggest(asked, Object.keys(commands))}`)
    await program.parseAsync([...argv])
    process.exitCode ??= exitCodes.ok
  } catch (error) {
    process.exitCode = reportFailure(error)
  }
}

function createProgram(): Command {
  return new Command('lockstep')
    .description('Keeps a REST API and its MQTT mirror in step: serve, follow, watch and check one.')
    .version(readVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help for a command')
    .addHelpText('after', exitCodeHelp)
    .showHelpAfterError('(--help shows how it is used)')
    .configureHelp({
      styleTitle: text => styleText('bold', text),
      styleCommandText: text => styleText('cyan', text),
    })
    .exitOverride()
}

function readVersion(): string {
  const manifest = fileURLToPath(import.meta.resolve('lockstep/package.json'))
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version
}
